"""What each domain offers: which pages run now, what they lack, and how to get that.

`domains()` reads the manifest and looks for files by name; it opens none, hashes none and asks no
network, so a page may call it at every visit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from weights.files import place
from weights.manifest import DomainRow, Row, read, read_domains
from weights.store import status


@dataclass(frozen=True)
class Missing:
    """One weight that a page cannot use now: `reason` is a few words, `cure` a sentence."""

    name: str
    reason: str
    cure: str
    recipe: str
    bytes: int


@dataclass(frozen=True)
class Page:
    """One paper's page in a domain: all the weights it needs, and those that it lacks now."""

    paper: str
    needs: tuple[str, ...]
    missing: tuple[Missing, ...]

    @property
    def ready(self) -> bool:
        """Whether the page runs now, without a network."""
        return not self.missing


@dataclass(frozen=True)
class Domain:
    """One domain for a picker, before anything of it is downloaded.

    `pixels` is (width, height) of its pictures; `licences` are those of all it needs, in order of
    appearance; `download` counts the bytes still to be downloaded, as far as sizes are known, and
    `unknown_sizes` the files among them whose size is not. What a person places or trains is
    counted in neither.
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
        """What any of its pages lacks, each weight once."""
        return tuple({lack.name: lack for page in self.pages for lack in page.missing}.values())

    @property
    def recipes(self) -> tuple[str, ...]:
        """The commands that train what it lacks, each once."""
        return tuple(dict.fromkeys(lack.recipe for lack in self.missing if lack.recipe))


def domains(manifest: Path | None = None) -> list[Domain]:
    """All domains of the manifest, in its order, as they stand on this machine."""
    rows = read(manifest)
    return [_domain(domain, rows) for domain in read_domains(manifest).values()]


def needed(domain: str, paper: str = "", manifest: Path | None = None) -> list[str]:
    """The full names of what a domain's pages need, or one page of it; [] for an unknown one."""
    row = read_domains(manifest).get(domain)
    if row is None:
        return []
    chosen = [needs for word, needs in row.needs.items() if paper in ("", word)]
    return list(dict.fromkeys(name for needs in chosen for name in needs))


def _domain(domain: DomainRow, rows: Mapping[str, Row]) -> Domain:
    names = dict.fromkeys(name for needs in domain.needs.values() for name in needs)
    lacks = {name: lack for name in names if (lack := _missing(rows[name]))}
    coming = [rows[name] for name in lacks if _direct(rows[name])]
    pages = [
        Page(paper, needs, tuple(lacks[name] for name in needs if name in lacks))
        for paper, needs in domain.needs.items()
    ]
    return Domain(
        name=domain.name,
        title=domain.title,
        pixels=domain.pixels,
        licences=tuple(dict.fromkeys(rows[name].licence for name in names)),
        download=sum(row.bytes for row in coming),
        unknown_sizes=sum(not row.bytes for row in coming),
        pages=tuple(pages),
    )


def _missing(row: Row) -> Missing | None:
    ready, reason = status(row)
    return None if ready else Missing(row.name, reason, _cure(row), row.recipe, row.bytes)


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
    return f"Run {pin} once, if you trust {row.where}." if pin else f"Fetch it: {row.where}."
