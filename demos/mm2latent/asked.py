"""A request for a picture as the page holds it: what is asked, and how variations are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from demos.kit.runs import mark
from demos.mm2latent import conditions, truth
from demos.mm2latent.chips import drawn, wishes
from demos.mm2latent.setting import HEAD
from demos.mm2latent.truth import Start


@dataclass(frozen=True, eq=False)
class Asked:
    """A request: its prompt, None for none, and its condition by kind, {} for none."""

    prompt: str | None = None
    condition: Mapping[str, Any] | None = None
    start: Start | None = None

    @property
    def kind(self) -> str | None:
        return next(iter(self.condition or {}), None)

    @property
    def overrides(self) -> dict[str, Any]:
        """What the renderer draws of it."""
        return drawn(wishes(self.prompt or "")) | dict((self.condition or {}).get(HEAD, {}))

    @property
    def answer(self) -> Image.Image | None:
        """The person of the condition's portrait with what is asked; None where nobody knows it."""
        return truth.answer(self.start, self.overrides) if self.condition else None


def told_apart(prompt: str, kind: str, mask, sketch, numbers: Mapping, *variations: Any) -> str:
    """What tells requests apart; variations: as `Drawn` has them."""
    return mark(prompt, conditions.told_apart(kind, mask, sketch, numbers), *variations)


@dataclass(frozen=True)
class Drawn:
    """How variations are drawn: by `many` seeds from `first` on, with noise of a length on the
    words' embedding, and so much of what nothing says."""

    variety: float
    unsaid: float
    many: int
    first: int

    @property
    def seeds(self) -> range:
        return range(self.first, self.first + self.many)

    @property
    def told_apart(self) -> tuple[Any, ...]:
        return self.variety, self.unsaid, self.many, self.first
