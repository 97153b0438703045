"""What the app knows of one paper: everything that is not the paper's own pipeline or page."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from examples.stored import StoredResults


@dataclass(frozen=True)
class Paper:
    """One record a paper, which stands in the paper's folder, `demos/<slug>/__init__.py`.

    slug: the paper in one word, as in folders, addresses and the manifest. name: in navigation.
    says: what it does, in a sentence or two. article, code: addresses; code "" where none is
    public. citation: BibTeX. pipeline, page: "module:name" of the class of the pipeline and of the
    function that builds the page; without a page the paper is in preparation. api: "module:name" of
    what gives the paper's documented functions, "" where it has none. comparison: "module:name" of
    the `Method` by which it takes part in the comparison of the first page, "" where it does not.
    clay_alone: why the page is for clay heads alone, "" where it takes every domain that the
    manifest has for the paper.
    places: inputs of the page that a picture can be sent to, by key, with words for them.
    kinds, networks: of stored results, and the weights that they come from.
    """

    slug: str
    name: str
    title: str
    authors: str
    year: int
    says: str
    article: str
    code: str
    citation: str
    pipeline: str = ""
    page: str = ""
    places: Mapping[str, str] = field(default_factory=dict, hash=False)
    api: str = ""
    comparison: str = ""
    clay_alone: str = ""
    kinds: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    @property
    def stored(self) -> StoredResults:
        return StoredResults(self.slug, self.kinds, self.networks)

    @property
    def build(self) -> Callable:
        """The function that puts the page into the open route, imported now."""
        return pkgutil.resolve_name(self.page)

    def functions(self, load: Callable) -> tuple[Callable, ...]:
        """The documented functions; load: gives the pipeline."""
        return pkgutil.resolve_name(self.api)(load) if self.api else ()

    @property
    def method(self) -> Any:
        """What the paper does in the comparison, imported now; None where it takes no part."""
        return pkgutil.resolve_name(self.comparison) if self.comparison else None


def load(pipeline: str, domain: str) -> Any:
    """The pipeline of a record for a domain; torch is imported here, after the page is up."""
    return pkgutil.resolve_name(pipeline).from_pretrained(domain)
