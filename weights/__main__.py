"""`python -m weights`: list, fetch, pin, forget, verify and register weights.

Every answer is one line a weight; nothing here opens a pickle or shows a traceback, and only a
conversion imports torch.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from weights.catalogue import Domain, Page, domains, needed, optional
from weights.conversion import converted, is_converted
from weights.errors import Offline, WeightsError, printable
from weights.files import check, check_digest, digest, is_safetensors
from weights.lockfile import forget, known
from weights.manifest import (
    MANIFEST,
    Row,
    find,
    pin,
    read,
    read_domains,
    register,
    starter_file,
)
from weights.store import MIRROR, fetch, located, source, stated, status, untrusted
from weights.transfer import Progress

HEADINGS = ("component", "domain", "state", "where", "size", "licence", "cached", "runs now")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code, 0 when everything asked for is in order."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except WeightsError as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped; what has arrived is kept, and the next fetch goes on.", file=sys.stderr)
    return 1


def table(options: argparse.Namespace) -> int:
    """Print every weight of the manifest with what is on this machine."""
    cells = [_cells(row) for row in read(options.manifest).values()]
    for line in _aligned([HEADINGS, *cells]):
        print(line)
    return 0


def list_domains(options: argparse.Namespace) -> int:
    """Print every domain: its pages, and what each of them lacks."""
    for domain in domains(options.manifest):
        print(_headline(domain))
        for page in domain.pages:
            print(f"  {page.paper}: {_lacks(page)}")
    return 0


def fetch_domain(options: argparse.Namespace) -> int:
    """Fetch what a domain's pages need and their extras, or one weight; one line each.

    1 if any is not usable, extras apart.
    """
    extras = optional(options.domain, options.paper, options.manifest)
    rows = _chosen(options.domain, options.paper, options.manifest)
    trust = options.trust or _consent(rows)
    failed, offline = False, False
    for row in rows:
        try:
            with _bar() as on_progress:
                path = fetch(
                    row.name,
                    trust=trust,
                    mirror=options.mirror,
                    local_only=offline,
                    on_progress=on_progress,
                    manifest=options.manifest,
                )
            print(f"{row.name}: ready in {path}")
        except WeightsError as error:
            failed = failed or row.name not in extras
            offline = offline or isinstance(error, Offline)
            print(error, file=sys.stderr)
    return int(failed)


def pin_file(options: argparse.Namespace) -> int:
    """Write SHA-256 and size of a trusted file, given or downloaded now, into the manifest."""
    row = find(options.name, options.manifest)
    path = options.file
    if path is None:
        with _bar() as on_progress:
            path = source(row, mirror=options.mirror, on_progress=on_progress)
    if not path.is_file():
        raise WeightsError(f"{row.name}: expected a file to pin; got none at {path}; download it.")
    size = path.stat().st_size
    changed = pin(row.name, digest(path), size, options.manifest)
    said = "pinned" if changed else "unchanged"
    print(f"{row.name}: {said}, {_size(size)}, {digest(path)}, from {path}")
    return 0


def forget_file(options: argparse.Namespace) -> int:
    """Drop the checksum that was kept when a file first arrived; the next one counts as the first.

    1 if none was kept."""
    found = forget(find(options.name, options.manifest).name)
    print(f"{options.name}: {'forgotten' if found else 'nothing was kept'}.")
    return int(not found)


def verify(options: argparse.Namespace) -> int:
    """Check the SHA-256 of every file present; one line a bad file, 1 if there is any."""
    rows = {name: known(row) for name, row in read(options.manifest).items()}
    faults = [fault for row in rows.values() if (fault := _fault(row))]
    faults += _strays(rows.values(), options.manifest.parent)
    present = sum(_present(row) for row in rows.values())
    for fault in faults:
        print(printable(fault), file=sys.stderr)
    absent = len(rows) - present
    print(f"{present} present, {len(faults)} bad, {absent} not on this machine.")
    return int(bool(faults))


def register_starter(options: argparse.Namespace) -> int:
    """Write SHA-256 and size of a freshly trained starter file into the manifest, for every name
    that the file has there."""
    rows, name = read(options.manifest), options.name
    path = options.manifest.parent / (rows[name].file if name in rows else starter_file(name))
    if not path.is_file():
        if name not in rows:
            find(name, options.manifest)  # says which names are close
        raise WeightsError(f"{name}: expected {path}; got no such file; train it first.")
    if not is_safetensors(path):
        raise WeightsError(f"{name}: expected safetensors in {path}; got something else.")
    size, digested = path.stat().st_size, digest(path)
    others = [n for n, row in rows.items() if name in rows and row.file == rows[name].file]
    for each in others or [name]:
        changed = register(each, digested, size, options.manifest, options.licence)
        print(f"{each}: {'registered' if changed else 'unchanged'}, {_size(size)}, {digested}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m weights", description="Lists every weight; see also the commands below."
    )
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="another list of weights")
    parser.set_defaults(run=table)
    commands = parser.add_subparsers(title="commands")
    mirror = argparse.ArgumentParser(add_help=False)
    mirror.add_argument("--mirror", type=Path, help=f"directory to look in first (or {MIRROR})")

    command = commands.add_parser("domains", help="what each domain's pages need and lack")
    command.set_defaults(run=list_domains)

    command = commands.add_parser(
        "fetch", help="download, check and convert the weights of a domain", parents=[mirror]
    )
    command.add_argument("domain", help="such as clay-heads, or one weight: clay-heads/generator")
    command.add_argument("--paper", default="", help="only what this page needs, such as editgan")
    command.add_argument(
        "--trust",
        action="store_true",
        help="accept files for whose checksum nobody vouches, and keep it: a later change is "
        "refused; nothing in a file is ever executed",
    )
    command.set_defaults(run=fetch_domain)

    command = commands.add_parser(
        "pin", help="trust a file: write its checksum into the manifest", parents=[mirror]
    )
    command.add_argument("name", help="such as lsun-car/generator")
    command.add_argument("--file", type=Path, help="this file, instead of downloading it now")
    command.set_defaults(run=pin_file)

    command = commands.add_parser("forget", help="drop the checksum kept of a file's first arrival")
    command.add_argument("name", help="such as lsun-car/generator")
    command.set_defaults(run=forget_file)

    command = commands.add_parser("verify", help="check the checksum of every file present")
    command.set_defaults(run=verify)

    command = commands.add_parser("register", help="pin a starter file after a training")
    command.add_argument("name", help="such as clay-heads/generator")
    command.add_argument("--licence", default="Apache-2.0", help="of a row not yet in the list")
    command.set_defaults(run=register_starter)
    return parser


def _chosen(domain: str, paper: str, manifest: Path) -> list[Row]:
    """The rows that a domain's pages need, those named after it, or the one row of a full name."""
    if "/" in domain:
        return [find(domain, manifest)]
    rows = read(manifest)
    if names := needed(domain, paper, manifest):
        return [rows[name] for name in names]
    listed = read_domains(manifest)
    if paper and domain in listed:
        papers = " or ".join(listed[domain].needs)
        raise WeightsError(f"expected a paper of {domain}; got {paper!r}; did you mean {papers}?")
    if chosen := [row for row in rows.values() if row.domain == domain]:
        return chosen
    known = list(dict.fromkeys([*listed, *(row.domain for row in rows.values())]))
    close = difflib.get_close_matches(domain, known, cutoff=0.4) or known
    raise WeightsError(
        f"expected a domain of the manifest; got {domain!r}; did you mean {' or '.join(close)}?"
    )


def _consent(rows: Iterable[Row]) -> bool:
    """Ask once, where somebody is there to answer, about files for which nobody vouches."""
    strange = [row for row in rows if untrusted(row) and located(row) is None]
    if not strange or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    for row in strange:
        print(f"{row.name}: {row.where}, licence: {row.licence}", file=sys.stderr)
    print(
        "Nobody states checksums for these files. Nothing in them is executed; the checksum of "
        "what arrives now is kept, and a later change refused.\nTrust their publishers? [y/N] ",
        end="", file=sys.stderr, flush=True,
    )  # fmt: skip
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@contextlib.contextmanager
def _bar() -> Iterator[Progress | None]:
    """A progress callback that draws a bar in a terminal; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    bars: list[tqdm] = []  # none is drawn for a file that is already here

    def show(name: str, done: int, total: int) -> None:
        if not bars:
            bars.append(tqdm(desc=name, total=total or None, unit="B", unit_scale=True))
        bars[0].update(done - bars[0].n)

    try:
        yield show
    finally:
        for bar in bars:
            bar.close()


def _cells(row: Row) -> tuple[str, ...]:
    """One line of the table, judged by names and sizes only: `verify` reads the whole files."""
    ready, reason = status(row)
    here, now = "yes" if _present(row) else "no", "yes" if ready else "no"
    return (
        row.component, row.domain, row.state, row.where, _size(row.bytes), row.licence, here,
        f"{now}: {reason}",
    )  # fmt: skip


def _present(row: Row) -> bool:
    return located(row) is not None or bool(row.converter and row.sha256 and is_converted(row))


def _headline(domain: Domain) -> str:
    width, height = domain.pixels
    parts = [_size(domain.download)] if domain.download else []
    if count := domain.unknown_sizes:
        parts.append(f"{count} file{'s' if count > 1 else ''} of unknown size")
    size = f"{' and '.join(parts) or 'nothing'} to download"
    return f"{domain.name}: {domain.title}, {width} x {height}, {size}"


def _lacks(page: Page) -> str:
    if page.ready:
        without = ", ".join(lack.name for lack in page.without)
        return f"runs now, without {without}" if without else "runs now"
    lacks = [f"{m.name} ({m.reason}{f': {m.recipe}' if m.recipe else ''})" for m in page.missing]
    return "lacks " + ", ".join(lacks)


def _fault(row: Row) -> str | None:
    """What is wrong with the files of a row, None if they are absent or sound."""
    if row.converter and row.sha256 and is_converted(row) and not converted(row, row.sha256):
        return f"{row.name}: expected the converted file as made; got another; it was removed."
    path = located(row)
    if path is None:
        return None
    if not row.sha256 and (found := stated(row, path)):
        row = replace(row, sha256=found[1])
    try:
        (check_digest if row.state == "published" else check)(row, path)
    except WeightsError as error:
        return str(error)
    if not row.sha256:
        cure = "register" if row.state == "starter" else "pin"
        return f"{row.name}: expected a sha256 in the manifest; got none for {path}; {cure} it."
    return None


def _strays(rows: Iterable[Row], folder: Path) -> list[str]:
    """A line for every starter file that no row names: it was trained but not registered."""
    known = {row.local for row in rows if row.state == "starter"}
    files = sorted((folder / "starter").glob("*.safetensors"))
    return [
        f"{path.name}: expected a row in the manifest; got none; register it or delete it."
        for path in files
        if path not in known
    ]


def _size(number: int) -> str:
    """A size in bytes as people read it, `-` if unknown."""
    if not number:
        return "-"
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number / 1e3:.1f} kB"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Text lines whose columns start at the same place."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # whoever reads the table has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
