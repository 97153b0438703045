"""Conditions of a picture that is there already: what a page fills its painters with.

Strokes are found by an edge annotator where a domain has one, as the paper finds them by PiDiNet
(Sec. 4.1), and else by Canny's edges, which no one trained; `tracer` says which. Clay's ControlNet
was trained with the latter. Classes are read by a parser.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image
from torch.nn import functional as F

from pipelines.conditions import MASK, SEEN, Condition, strokes_of
from pipelines.images import as_tensor
from pipelines.measures import edge_f1
from pipelines.networks.bisenet import BiSeNet
from pipelines.networks.edge_annotator import EdgeAnnotator
from pipelines.networks.parser import FaceParser
from pipelines.runtime import Placed, stage

CANNY = "canny"  # the tracer where no network is


class PictureConditions(Placed):
    """Makes conditions of drawings, finds those of pictures, and says how well a picture fits one.

    size: of the domain's pictures [px]; parser, annotator: None where the domain has none.
    """

    size: int
    parser: FaceParser | BiSeNet | None
    annotator: EdgeAnnotator | None

    def condition(
        self, task: str, given: Any, palette: UInt8[np.ndarray, "classes 3"] | None = None
    ) -> Condition:
        """A mask of class indices with the colours of its classes, or a drawing: `Condition.of`."""
        return Condition.of(task, given, palette)

    @property
    def tracer(self) -> str:
        """What finds strokes: "pidinet", "hed" or CANNY."""
        return CANNY if self.annotator is None else self.annotator.kind

    @stage
    def traced(self, picture: Image.Image, side: int = 128) -> Bool[np.ndarray, "side side"]:
        """Where a hand would draw strokes of a picture."""
        if self.annotator is None:
            return Condition.scribble_of(picture, side).pixels[..., 0] > 0
        edges = self.annotator(as_tensor(picture, SEEN).to(self.device))[0]
        return strokes_of(edges.float().cpu().numpy(), side) > 0

    @stage
    def parsed(self, picture: Image.Image, side: int = 128) -> UInt8[np.ndarray, "side side"]:
        """The class of each pixel of a picture; ValueError where the domain has no parser."""
        if self.parser is None:
            raise ValueError(
                f"parser must be a network; got none in {self.domain}. Paint the mask by hand."
            )
        classes = self.parser.parse(as_tensor(picture, self.size).to(self.device))
        resized = F.interpolate(classes[None].float(), (side, side), mode="nearest-exact")
        return resized[0, 0].byte().cpu().numpy()

    def agreement(self, picture: Image.Image, task: str, given: np.ndarray) -> float:
        """How well a picture fits a condition, at most 1.

        given: classes of a mask, of which the share of pixels counts that the parser reads so; or
        where a scribble has strokes, of which F1 counts beside the picture's own.
        """
        if task == MASK:
            return float((self.parsed(picture, len(given)) == given).mean())
        drawn = (torch.from_numpy(np.asarray(x, bool))[None]
                 for x in (self.traced(picture, len(given)), given))  # fmt: skip
        return edge_f1(*drawn).item()
