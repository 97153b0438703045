"""`python -m weights`: list, fetch, verify and register weights.

Every answer is one line a weight; nothing here opens a pickle, imports torch or shows a traceback.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable
from pathlib import Path

from weights.manifest import (
    MANIFEST,
    NO_CONVERTER,
    Row,
    WeightsError,
    find,
    read,
    register,
    starter_file,
)
from weights.store import (
    MIRROR,
    Offline,
    check,
    check_digest,
    digest,
    fetch,
    is_safetensors,
    located,
)

HEADINGS = ("component", "domain", "where", "size", "licence", "state")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code, 0 when everything asked for is in order."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except WeightsError as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped; no unfinished file was left.", file=sys.stderr)
    return 1


def table(options: argparse.Namespace) -> int:
    """Print every weight of the manifest with what is on this machine."""
    rows = read(options.manifest).values()
    cells = [(r.component, r.domain, r.where, _size(r.bytes), r.licence, _state(r)) for r in rows]
    for line in _aligned([HEADINGS, *cells]):
        print(line)
    return 0


def fetch_domain(options: argparse.Namespace) -> int:
    """Fetch each weight of a domain, or one weight; one line each, 1 if any is not usable."""
    failed, offline = False, False
    for row in _chosen(options.domain, options.manifest):
        try:
            path = fetch(
                row.name,
                allow_unpinned=options.allow_unpinned,
                mirror=options.mirror,
                local_only=offline,
                manifest=options.manifest,
            )
            print(f"{row.name}: ready in {path}")
        except WeightsError as error:
            failed, offline = True, offline or isinstance(error, Offline)
            print(error, file=sys.stderr)
    return int(failed)


def verify(options: argparse.Namespace) -> int:
    """Check the SHA-256 of every file present; one line a bad file, 1 if there is any."""
    rows = read(options.manifest)
    faults = [fault for row in rows.values() if (fault := _fault(row))]
    faults += _strays(rows.values(), options.manifest.parent)
    present = sum(located(row) is not None for row in rows.values())
    for fault in faults:
        print(fault, file=sys.stderr)
    absent = len(rows) - present
    print(f"{present} present, {len(faults)} bad, {absent} not on this machine.")
    return int(bool(faults))


def register_starter(options: argparse.Namespace) -> int:
    """Write SHA-256 and size of a freshly trained starter file into the manifest."""
    rows, name = read(options.manifest), options.name
    path = options.manifest.parent / (rows[name].file if name in rows else starter_file(name))
    if not path.is_file():
        if name not in rows:
            find(name, options.manifest)  # says which names are close
        raise WeightsError(f"{name}: expected {path}; got no such file; train it first.")
    if not is_safetensors(path):
        raise WeightsError(f"{name}: expected safetensors in {path}; got something else.")
    size = path.stat().st_size
    changed = register(name, digest(path), size, options.manifest, options.licence)
    print(f"{name}: {'registered' if changed else 'unchanged'}, {_size(size)}, {digest(path)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m weights", description="Lists every weight; see also the commands below."
    )
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="another list of weights")
    parser.set_defaults(run=table)
    commands = parser.add_subparsers(title="commands")

    command = commands.add_parser("fetch", help="download and check the weights of a domain")
    command.add_argument("domain", help="such as clay-heads, or one weight: clay-heads/generator")
    command.add_argument("--mirror", type=Path, help=f"directory to look in first (or {MIRROR})")
    command.add_argument(
        "--allow-unpinned", action="store_true", help="accept files without a known checksum"
    )
    command.set_defaults(run=fetch_domain)

    command = commands.add_parser("verify", help="check the checksum of every file present")
    command.set_defaults(run=verify)

    command = commands.add_parser("register", help="pin a starter file after a training")
    command.add_argument("name", help="such as clay-heads/generator")
    command.add_argument("--licence", default="Apache-2.0", help="of a row not yet in the list")
    command.set_defaults(run=register_starter)
    return parser


def _chosen(domain: str, manifest: Path) -> list[Row]:
    """The rows of a domain, or the one row of that full name."""
    if "/" in domain:
        return [find(domain, manifest)]
    rows = read(manifest).values()
    if chosen := [row for row in rows if row.domain == domain]:
        return chosen
    domains = list(dict.fromkeys(row.domain for row in rows))
    close = difflib.get_close_matches(domain, domains, cutoff=0.4) or domains
    raise WeightsError(
        f"expected a domain of the manifest; got {domain!r}; did you mean {' or '.join(close)}?"
    )


def _state(row: Row) -> str:
    """What is on this machine, judged by name and size only: `verify` reads the whole file."""
    if row.state == "published":
        return NO_CONVERTER
    path = located(row)
    if path is None:
        return "missing"
    if not row.sha256:
        return "not registered"
    if row.bytes and path.stat().st_size != row.bytes:
        return "damaged"
    return "starter" if row.state == "starter" else "cached"


def _fault(row: Row) -> str | None:
    """What is wrong with the file of a row, None if it is absent or sound."""
    path = located(row)
    if path is None:
        return None
    try:
        if row.state == "published":
            check_digest(row, path)
            return None
        check(row, path)
    except WeightsError as error:
        return str(error)
    if not row.sha256:
        return f"{row.name}: expected a sha256 in the manifest; got none for {path}; register it."
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
    sys.exit(main())
