"""What is asked of MM2Latent, and how well a picture fits it: words and conditions, read once.

Symbols: f_text, the unit embedding of a prompt; Net, the mapping network of a kind of condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pipelines.condition_codes import CONDITIONS, ConditionCodes
from pipelines.images import as_tensor
from pipelines.measures import Measured, named
from pipelines.multimodal_baselines import Embedding
from pipelines.multimodal_inputs import as_prompt
from pipelines.networks.judge import JudgeOutput
from pipelines.networks.mm_mapping import MultimodalMapping
from pipelines.runtime import stage

RECIPES = {
    kind: f"python -m pipelines.training.mm_mapping --condition {kind}" for kind in CONDITIONS
}


@dataclass(frozen=True)
class Scores:
    """How well a picture agrees with what was asked.

    text: cosine of its embedding and the prompt's. condition: `ConditionCodes.agreement`.
    attributes: what the judge sees, in words. None where nothing was asked.
    """

    text: float | None = None
    condition: float | None = None
    attributes: Mapping[str, str] | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """A prompt and a condition as they were read, each None where there is none.

    f_text is on the device; kind, given: of the condition; notes: what of the words is not read.
    """

    words: str | None = None
    f_text: Float[Tensor, "1 d"] | None = None
    kind: str | None = None
    given: np.ndarray | None = None
    notes: tuple[str, ...] = ()


class MultimodalReader(Measured):
    """Reads prompts and conditions by a domain's networks, and how well pictures fit them.

    conditions: the kinds that the domain has; missing: why a component is not here.
    """

    embedding: Embedding
    mappings: dict[str, MultimodalMapping]
    codes: ConditionCodes
    conditions: tuple[str, ...]
    missing: dict[str, str]

    @stage
    def read(self, image: Image.Image, kind: str) -> np.ndarray:
        """What a picture shows of a kind of condition: classes, uint8 (h, w); lines, bool (h, w);
        3DMM numbers, float32 (n,). Nothing else of the picture is read, and no code."""
        x = as_tensor(image, self.size).to(self.device)
        return self.codes.read(x, self._known(kind))[0].cpu().numpy()

    @stage
    def score(self, image: Image.Image, prompt: str | None = None, **condition: Any) -> Scores:
        """How well any picture fits a prompt and a condition; either may be left out."""
        x = as_tensor(image, self.size).to(self.device)
        return self._scores(x, self._request(prompt, **condition))[0]

    def _request(self, prompt: str | None, **conditions: Any) -> Request:
        """A prompt and at most one condition by its kind, read."""
        words, f_text, notes = None, None, ()
        if prompt is not None:
            words, notes = self._words(prompt)
            f_text = self._embedded(words)
        kind, given = self._given(**conditions)
        return Request(words, f_text, kind, given, notes)

    def _known(self, kind: str | None) -> str:
        """A kind of condition that this domain has; its first one for None."""
        kind = self.conditions[0] if kind is None else kind
        if kind not in self.conditions:
            why = self.missing.get(f"mm2latent-{kind}", "")
            cure = f" Train it: {RECIPES[kind]}." if kind in RECIPES else ""
            raise ValueError(
                f"condition must be one of {', '.join(self.conditions)} here; got {kind!r}."
                f"{f' ({why})' if why else ''}{cure}"
            )
        return kind

    def _given(self, **conditions: Any) -> tuple[str | None, np.ndarray | None]:
        """The one condition that was given, and how it is read."""
        found = {kind: value for kind, value in conditions.items() if value is not None}
        if len(found) > 1:
            raise ValueError(
                f"one condition at most must be given; got {' and '.join(found)}. Leave one out."
            )
        for kind, value in found.items():
            rest = self._rest() if self._known(kind) == "morphable" else None
            return kind, self.codes.checked(kind, value, rest)
        return None, None

    def _words(self, prompt: str) -> tuple[str, tuple[str, ...]]:
        """A prompt as it is read, and what of it is not."""
        words = as_prompt(prompt)
        left = self.embedding.left_out(words)
        if not left:
            return words, ()
        return words, (
            f"The prompt is too long: its last {len(left)} of {len(words)} characters, from "
            f"{left[:30]!r} on, were not read.",
        )

    def _rest(self) -> np.ndarray:
        """3DMM numbers where none are named: the mean of training."""
        return self.mappings["morphable"].neutral(1)[0].cpu().numpy()

    def _embedded(self, *texts: str) -> Float[Tensor, "n d"]:
        return self.embedding.embed_texts(list(texts)).float().to(self.device)

    def _tensor(self, given: np.ndarray) -> Tensor:
        return torch.from_numpy(given)[None].to(self.device)

    def _scores(
        self,
        x: Float[Tensor, "b 3 h w"],
        request: Request,
        seen: JudgeOutput | None = None,
        classes: Tensor | None = None,
    ) -> list[Scores]:
        """How well each picture fits one request.

        seen, classes: what the judge and the parser say of them, where that is known.
        """
        text = condition = attributes = [None] * len(x)
        if request.f_text is not None:
            text = (self.embedding.embed_images(x).float() * request.f_text).sum(1).tolist()
        if (kind := request.kind) is not None:
            known = kind == "mask" and classes is not None
            found = classes if known else self.codes.read(x, kind)
            condition = self.codes.alike(found, kind, self._tensor(request.given)).tolist()
        if seen is None and self.judge is not None:
            seen = self.judge(x)
        if seen is not None and seen.choices:
            attributes = [named(seen.choices, i) for i in range(len(x))]
        return [Scores(*row) for row in zip(text, condition, attributes, strict=True)]
