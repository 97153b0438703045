"""Edits by MM2Latent, for its benchmark: whether they succeed, and what they leave alone.

Of each edit: success after it and, where it is a share, before it; identity, the cosine of the
judge's embeddings before and after; kept, the share of pixels whose class stays, where it should.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from examples.clay.edits import EDITS, Edit
from examples.clay.parameters import SEEDS, draw, latent
from examples.clay.parts import CLASSES
from pipelines.images import as_images
from pipelines.multimodal_editor import PIVOT, Source
from pipelines.multimodal_inputs import sketch_of
from pipelines.training.loop import to_tensor
from tests.benchmarks.mm2latent_bench import Bench, words_of

EYES = ("eye_g", "l_eye", "r_eye", "l_brow", "r_brow")
# Edits by text: fact, what is asked for, the classes that it may change.
WORDS = (
    ("glasses", "sunglasses", "wearing sunglasses", EYES),
    ("expression", "open smile", "with a broad smile", ("mouth", "u_lip", "l_lip")),
    ("beard", "full beard", "with a full beard", ()),
    ("hat", "beanie", "wearing a beanie", ("hat", "hair")),
    ("hair_color", "blond", "with blond hair", ()),
)  # fmt: skip
SHAPES = ("smile", "hair_length")  # of EDITS that change masks and sketches
TURN = 15.0  # degrees


@dataclass(frozen=True, eq=False)
class Seen:
    """What the parser and the judge see in pictures; words: by fact, as `words_of` has them."""

    x: Float[Tensor, "n 3 h w"]
    classes: UInt8[Tensor, "n h w"]
    words: list[dict[str, str]]
    person: Float[Tensor, "n d"]
    values: Mapping[str, Float[Tensor, " n"]]

    def part(self, rows: list[int]) -> Seen:
        """Of some of the pictures."""
        values = {name: v[rows] for name, v in self.values.items()}
        words = [self.words[i] for i in rows]
        return Seen(self.x[rows], self.classes[rows], words, self.person[rows], values)


@torch.no_grad()
def look(bench: Bench, images: Sequence[Image.Image]) -> Seen:
    """Pictures as they are shown, each looked at once."""
    p, x = bench.pipeline, to_tensor(np.stack([np.asarray(image) for image in images]))
    judged = [p.judge(part.to(p.device)) for part in x.split(bench.batch)]
    values = {n: torch.cat([each.values[n].cpu() for each in judged]) for n in judged[0].values}
    words = [row for each in judged for row in words_of(each)]
    person = torch.cat([each.embedding.cpu() for each in judged])
    return Seen(x, bench.read(x, "mask"), words, person, values)


def edits(bench: Bench) -> dict[str, dict[str, float]]:
    """Edits of inverted portraits: success before and after, the person, what is left alone."""
    p = bench.pipeline
    sources = [p.invert(image) for image in as_images(bench.x[: bench.edited])]
    before = look(bench, [source.image for source in sources])
    found = {f"text: {words}": by_text(bench, sources, before, fact, option, words, may)
             for fact, option, words, may in WORDS}  # fmt: skip
    kinds = [kind for kind in ("mask", "sketch") if kind in p.conditions]
    for name in SHAPES:
        wanted = [_changed(bench, i, EDITS[name]) for i in range(len(sources))]
        x, classes = bench.rendered(np.stack(wanted))
        targets = {"mask": classes, "sketch": sketch_of(x)}
        for kind in kinds:
            found[f"{kind}: {name}"] = by_shape(bench, sources, before, kind, targets)
    if "morphable" in p.conditions and "yaw" in p.layout.names:
        found["3dmm: yaw"] = by_turn(bench, sources, before)
    return found


def by_text(
    bench: Bench, sources: list[Source], before: Seen, fact: str, option: str, words: str,
    may: tuple[str, ...],
) -> dict[str, float]:  # fmt: skip
    """Eq. 8 on sources that do not show the option; success: the judge sees it afterwards."""
    p, free = bench.pipeline, torch.tensor([CLASSES.index(n) for n in may], dtype=torch.uint8)
    rows = [i for i, seen in enumerate(before.words) if seen[fact] != option]
    if not rows:
        return {**dict.fromkeys(("after", "identity", "kept"), math.nan), "portraits": 0}
    first = before.part(rows)
    after = look(bench, [p.edit(sources[i], f"{PIVOT} {words}").image for i in rows])
    stays = ~(torch.isin(first.classes, free) | torch.isin(after.classes, free))
    success = float(np.mean([seen[fact] == option for seen in after.words]))
    return {"after": success, **_left(first, after, stays), "portraits": len(rows)}


def by_shape(
    bench: Bench, sources: list[Source], before: Seen, kind: str, targets: Mapping[str, Tensor]
) -> dict[str, float]:
    """Eq. 9 towards what the renderer's own edit looks like. Success: of the pixels whose class
    that changes, the share in their new class (masks); F1 beside the new sketch."""
    p, wanted = bench.pipeline, targets[kind]
    done = [p.edit(s, t.numpy(), kind=kind) for s, t in zip(sources, wanted, strict=True)]
    after = look(bench, [edited.image for edited in done])
    moved = targets["mask"] != bench.given["mask"][: len(sources)]
    found = {}
    for key, seen in (("before", before), ("after", after)):
        if kind == "mask":
            found[key] = _shares(seen.classes == targets["mask"], moved)
        else:
            found[key] = p.codes.alike(sketch_of(seen.x), kind, wanted).mean().item()
    return {**found, **_left(before, after, ~moved), "portraits": len(sources)}


def by_turn(bench: Bench, sources: list[Source], before: Seen) -> dict[str, float]:
    """Eq. 9 by TURN degrees of yaw towards the middle; success: degrees that the judge sees."""
    p, column = bench.pipeline, bench.pipeline.layout.names.index("yaw")
    own = [float(source.given["morphable"][column]) for source in sources]
    turns = [-TURN if yaw > 0 else TURN for yaw in own]
    done = [
        p.edit(source, {"yaw": yaw + turn}, kind="morphable")
        for source, yaw, turn in zip(sources, own, turns, strict=True)
    ]
    after = look(bench, [edited.image for edited in done])
    seen = (after.values["yaw"] - before.values["yaw"]) / torch.tensor(turns)
    everywhere = torch.ones_like(before.classes, dtype=torch.bool)
    left = _left(before, after, everywhere)
    return {"after": seen.mean().item(), **left, "portraits": len(sources)}


def _changed(bench: Bench, index: int, edit: Edit) -> np.ndarray:
    """Parameters of a portrait after the renderer's edit, towards where it is not."""
    p = bench.parameters[index]
    change = edit.low if float(edit.value(p)) > 0.5 else edit.high
    return draw(latent(SEEDS["test"][index]), edit.apply(p, change))


def _left(before: Seen, after: Seen, stays: Bool[Tensor, "n h w"]) -> dict[str, float]:
    """The person, and the classes where they should stay."""
    return {
        "identity": (before.person * after.person).sum(1).mean().item(),
        "kept": _shares(before.classes == after.classes, stays),
    }


def _shares(right: Bool[Tensor, "n h w"], where: Bool[Tensor, "n h w"]) -> float:
    """The share of pixels in `where` that is right, the mean over pictures that have any."""
    sizes = where.sum((1, 2))
    return ((right & where).sum((1, 2)) / sizes)[sizes > 0].mean().item()
