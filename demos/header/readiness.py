"""Domains in words: which are ready, what a download costs, what is missing and what trains it.

Nothing is loaded or downloaded here: `weights.domains` looks for files by name.
"""

from __future__ import annotations

import functools
import html
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import weights
from demos.kit.bridge import CLAY
from demos.kit.paper import Paper
from weights import Domain, Missing, Page

# The README says the same of photographs.
PHOTOGRAPHS = (
    "Photographs need networks trained on photographs. A domain shows its licences and the size of "
    "its download before anything is fetched, and what it still lacks."
)
Papers = Sequence[Paper]  # those that a header is for: one page's, or on the first page all
PATIENCE = 60.0  # s until a publisher that did not say how large a file is, is asked again
# What no download brings, by the reason of `weights.domains`: after "1 network is".
_LACKS = {
    "not trained yet": "not trained yet",
    "nobody publishes it, no recipe yet": "published by nobody",
    weights.UNTRUSTED: "to be allowed by whoever runs this app",
    "damaged": "damaged on this machine",
}
_BY_HAND = "to be installed by hand"


@dataclass(frozen=True)
class Source:
    """Where the list of domains, their files and the sizes of these come from; a test brings its
    own."""

    domains: Callable[[], Sequence[Domain]] = weights.domains
    fetch: Callable[..., Any] = weights.fetch
    sizes: Callable[[Sequence[str]], Mapping[str, int]] = weights.sizes

    @classmethod
    def trusting(cls) -> Source:
        """For whoever runs the app and trusts the addresses of publishers: also files for which
        nobody states a checksum. The first one is kept, a later change refused."""
        trusted = (functools.partial(do, trust=True) for do in (weights.domains, weights.fetch))
        return cls(*trusted)


@dataclass(frozen=True)
class Sizes:
    """What publishers said of the sizes of files, in bytes by name: asked once, for all visitors.

    A publisher that gave no answer is asked again after a minute.
    """

    source: Source
    said: dict[str, int] = field(default_factory=dict)
    _asked: dict[str, float] = field(default_factory=dict)

    def ask(self, lacks: Iterable[Missing]) -> None:
        """Ask for the sizes among these that are not known."""
        now = time.monotonic()
        names = [lack.name for lack in lacks if not lack.bytes and lack.name not in self.said]
        names = [name for name in names if now - self._asked.get(name, -PATIENCE) >= PATIENCE]
        if names:
            self._asked.update(dict.fromkeys(names, now))
            self.said.update(self.source.sizes(names))

    def fill(self, domain: Domain) -> Domain:
        """A domain whose lacks have the sizes that were said."""

        def filled(lacks: Iterable[Missing]) -> tuple[Missing, ...]:
            sizes = ((lack, lack.bytes or self.said.get(lack.name, 0)) for lack in lacks)
            return tuple(replace(lack, bytes=size) for lack, size in sizes)

        pages = (
            replace(page, missing=filled(page.missing), without=filled(page.without))
            for page in domain.pages
        )
        return replace(domain, pages=tuple(pages))


def pages_of(domain: Domain, papers: Papers) -> list[Page]:
    """The pages of these papers that a domain is for; of a paper in preparation there is none.

    A page for clay heads alone lacks itself in every other domain, whatever weights that has.
    """
    found = [(paper, domain.page(paper.slug)) for paper in papers if paper.page]
    return [_in_domain(page, paper, domain.name) for paper, page in found if page is not None]


def _in_domain(page: Page, paper: Paper, domain: str) -> Page:
    if domain == CLAY or not paper.clay_alone:
        return page
    reason = f"{paper.name}'s page edits clay heads alone"
    lack = Missing(f"demos.{paper.slug}", reason, paper.clay_alone, "", 0)
    return replace(page, missing=(*page.missing, lack))


def size(count: int) -> str:
    """Bytes as a visitor reads them."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{max(bool(count), round(count / 1e6)):d} MB"


def coming(pages: Iterable[Page]) -> list[Missing]:
    """What a download brings to the pages that run after it, each weight once."""
    lacks = {lack.name: lack for page in pages if page.within_reach for lack in page.coming}
    return list(lacks.values())


def cost(lacks: Collection[Missing]) -> str:
    """What a download amounts to, "" where there is none."""
    known, unknown = sum(lack.bytes for lack in lacks), sum(not lack.bytes for lack in lacks)
    parts = [size(known)] if known else []
    if unknown:
        parts.append(f"{unknown} {'file' if unknown == 1 else 'files'} of unknown size")
    return " and ".join(parts)


def state(domain: Domain, papers: Papers) -> str:
    """A domain's readiness in a few words."""
    pages = pages_of(domain, papers)
    if domain.name == CLAY or (pages and all(page.ready for page in pages)):
        return "ready offline"
    if any(page.ready for page in pages):
        return "ready in part"
    if any(page.within_reach for page in pages):
        return f"{cost(coming(pages))} to download"
    return lacking(lack for page in pages for lack in page.missing) or "not for this page"


def usable(domain: Domain, papers: Papers) -> bool:
    """Whether choosing the domain can lead anywhere: a page runs now, or after a download."""
    return domain.name == CLAY or any(page.within_reach for page in pages_of(domain, papers))


def action(domain: Domain, papers: Papers) -> str:
    """What the button does."""
    if not usable(domain, papers):
        return "Not available yet"
    price = cost(coming(pages_of(domain, papers))) if domain.name != CLAY else ""
    return f"Download {price}, then use it" if price else "Use it"


def card(domain: Domain, papers: Papers) -> str:
    """Title, licences and size, then for each page what it needs and lacks, as HTML."""
    pages, names = pages_of(domain, papers), {paper.slug: paper.name for paper in papers}
    facts = [
        f"<dt>Licences</dt><dd>{html.escape(_licences(pages))}</dd>",
        f"<dt>Download</dt><dd>{_download(domain, pages)}</dd>",
    ]
    return f"""<section class="domain-card" aria-label="The chosen domain">
<h3>{html.escape(domain.title)}</h3><dl>{"".join(facts)}</dl>
{"".join(_page(page, names[page.paper]) for page in pages)}</section>"""


def _licences(pages: Sequence[Page]) -> str:
    names = dict.fromkeys(licence for page in pages for licence in page.licences)
    known = ", ".join(name for name in names if name != "unknown")
    if "unknown" in names:
        return f"{known}; for some of its files unknown" if known else "unknown"
    return known or "none needed"


def _download(domain: Domain, pages: Sequence[Page]) -> str:
    """What a download brings, also where it is not enough to run a page."""
    if domain.name == CLAY:
        return "nothing"
    if any(page.within_reach for page in pages):
        return cost(coming(pages)) or "nothing"
    price = cost({lack.name: lack for page in pages for lack in page.coming}.values())
    return f"{price}, once the rest is there" if price else "nothing"


def _page(page: Page, name: str) -> str:
    if page.ready:
        words = "Runs now, without a network."
    elif page.within_reach:
        words = f"Runs after a download of {cost(page.coming)}."
    else:
        words = f"Does not run yet: {lacking(page.missing)}."
    return f"<h4>{name}</h4><p>{words}{_without(page)}</p>"


def _without(page: Page) -> str:
    """How many extras no download brings."""
    absent = len({lack.name for lack in page.without if not lack.fetchable})
    extras = "1 of its extras" if absent == 1 else f"{absent} of its extras"
    return f" It does without {extras}." if absent else ""


def lacking(lacks: Iterable[Missing]) -> str:
    """What no download brings, in a visitor's words: a paper's own reason, and networks counted."""
    counts: Counter[str] = Counter()
    reasons = []
    for lack in {lack.name: lack for lack in lacks if not lack.fetchable}.values():
        if lack.name.startswith("demos."):
            reasons.append(lack.reason)
        else:
            counts[_LACKS.get(lack.reason, _BY_HAND)] += 1
    for words, count in counts.items():
        what = "network is" if count == 1 else "networks are"
        reasons.append(f"{count} {what} {words}")
    return ", ".join(reasons)
