"""What each domain offers: which pages run now, what they lack, and how to get that.

`domains()` reads the manifest and looks for files by name; it opens none, hashes none and asks no
network, so a page may call it at every visit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from weights import download
from weights.errors import WeightsError
from weights.files import place
from weights.lockfile import known
from weights.manifest import DomainRow, Row, read, read_domains
from weights.store import status


@dataclass(frozen=True)
class Missing:
    """One weight that a page cannot use now: `reason` is a few words, `cure` a sentence.

    `fetchable`: whether a program can get it as it stands: its converter is known, and somebody
    vouches for what arrives.
    """

    name: str
    reason: str
    cure: str
    recipe: str
    bytes: int
    fetchable: bool = False


@dataclass(frozen=True)
class Page:
    """One paper's page in a domain: all the weights it needs, and those that it lacks now.

    `extras` are weights that it uses where they are; `without` are those of them that it lacks;
    `licences` are those of needs and extras, in order of appearance.
    """

    paper: str
    needs: tuple[str, ...]
    missing: tuple[Missing, ...]
    extras: tuple[str, ...] = ()
    without: tuple[Missing, ...] = ()
    licences: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether the page runs now, without a network."""
        return not self.missing

    @property
    def coming(self) -> tuple[Missing, ...]:
        """What a download brings: every need and extra that it lacks and a program can get."""
        return tuple(lack for lack in (*self.missing, *self.without) if lack.fetchable)

    @property
    def within_reach(self) -> bool:
        """Whether the page runs after that download."""
        return all(lack.fetchable for lack in self.missing)


@dataclass(frozen=True)
class Domain:
    """One domain for a picker, before anything of it is downloaded.

    `pixels` is (width, height) of its pictures; `licences` are those of all it needs and its
    extras, in order of appearance; `download` counts the bytes still to be downloaded, as far as
    sizes are known, and `unknown_sizes` the files among them whose size is not. What a person
    places or trains is counted in neither.
    """

    name: str
    title: str
    pixels: tuple[int, int]
    licences: tuple[str, ...]
    download: int
    unknown_sizes: int
    pages: tuple[Page, ...]

    @property
    def ready(self) -> bool:
        """Whether at least one page runs now, without a network."""
        return any(page.ready for page in self.pages)

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What any of its pages lacks and cannot do without, each weight once."""
        return tuple({lack.name: lack for page in self.pages for lack in page.missing}.values())

    def page(self, paper: str) -> Page | None:
        """The page of a paper, None if this domain has none."""
        return next((page for page in self.pages if page.paper == paper), None)

    @property
    def recipes(self) -> tuple[str, ...]:
        """The commands that train what it lacks, each once."""
        return tuple(dict.fromkeys(lack.recipe for lack in self.missing if lack.recipe))


def domains(manifest: Path | None = None, *, trust: bool = False) -> list[Domain]:
    """All domains of the manifest, in its order, as they stand on this machine.

    trust: who runs the program trusts the publishers' addresses, as `store.fetch` takes it.
    """
    rows = read(manifest)
    return [_domain(domain, rows, trust) for domain in read_domains(manifest).values()]


def sizes(names: Iterable[str], manifest: Path | None = None) -> dict[str, int]:
    """Bytes of weights by name, as their publishers say within seconds; without those that do not.

    This asks the network, but for nothing of the files.
    """
    rows = read(manifest)
    return download.sizes(known(rows[name]) for name in names if name in rows)


def needed(domain: str, paper: str = "", manifest: Path | None = None) -> list[str]:
    """The full names of what a domain's pages need, or one page of it, then of their extras.

    [] for an unknown domain.
    """
    row = read_domains(manifest).get(domain)
    if row is None:
        return []
    lists = [*row.needs.items(), *row.extras.items()]
    return list(dict.fromkeys(n for word, names in lists if paper in ("", word) for n in names))


def optional(domain: str, paper: str = "", manifest: Path | None = None) -> set[str]:
    """Those of `needed` that are extras alone: no page of the domain needs them."""
    row = read_domains(manifest).get(domain)
    if row is None:
        return set()
    needs = {name for word, names in row.needs.items() if paper in ("", word) for name in names}
    return set(needed(domain, paper, manifest)) - needs


def _domain(domain: DomainRow, rows: Mapping[str, Row], trust: bool) -> Domain:
    lists = [*domain.needs.values(), *domain.extras.values()]
    names = dict.fromkeys(name for some in lists for name in some)
    lacks = {name: lack for name in names if (lack := _missing(rows[name], trust))}
    coming = [lack for name, lack in lacks.items() if _direct(rows[name])]

    def lacking(names: tuple[str, ...]) -> tuple[Missing, ...]:
        return tuple(lacks[name] for name in names if name in lacks)

    def licences(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(rows[name].licence for name in names))

    pages = [
        Page(paper, needs, lacking(needs), extras, lacking(extras), licences((*needs, *extras)))
        for paper, needs in domain.needs.items()
        for extras in [domain.extras.get(paper, ())]
    ]
    return Domain(
        name=domain.name,
        title=domain.title,
        pixels=domain.pixels,
        licences=licences(names),
        download=sum(lack.bytes for lack in coming),
        unknown_sizes=sum(not lack.bytes for lack in coming),
        pages=tuple(pages),
    )


def _missing(row: Row, trust: bool) -> Missing | None:
    ready, reason = status(row)
    if ready:
        return None
    with contextlib.suppress(WeightsError):  # a damaged lock file, which is the reason then
        row = known(row)
    vouched = bool(row.sha256 or row.repo or trust)
    fetchable = _direct(row) and vouched and reason not in ("damaged", "lock file damaged")
    return Missing(row.name, reason, _cure(row), row.recipe, row.bytes, fetchable)


def _direct(row: Row) -> bool:
    """Whether a program can fetch the file and use it."""
    return bool(row.repo or row.url) and (row.state == "hub" or bool(row.converter))


def _cure(row: Row) -> str:
    """What a person does about a weight that cannot be used now."""
    if row.state == "starter":
        return f"Train it: {row.recipe}." if row.recipe else "Restore it from the repository."
    if row.state == "recipe":
        return f"Train it: {row.recipe}." if row.recipe else "No recipe for it is written yet."
    if row.state == "published" and not row.converter:
        return "Its converter is not written yet."
    pin = "" if row.sha256 else f"python -m weights pin {row.name}"
    if row.page:
        then = f", then run {pin}" if pin else ""
        return f"Take {os.path.basename(row.file)} from {row.page}, put it at {place(row)}{then}."
    if row.sha256 or row.repo:
        return f"Fetch it: {row.where}."
    return f"Run python -m weights fetch {row.name} --trust once, if you trust {row.where}."
