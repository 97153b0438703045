"""Edits by MM2Latent, for its benchmark: whether they succeed, and what they leave alone.

Of each edit: success after it and, where it is a share, before it; identity, the cosine of the
judge's embeddings before and after; kept, the share of pixels whose class stays, where it should.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from examples.clay.edits import EDITS, Edit
from examples.clay.parameters import SEEDS, draw, latent
from examples.clay.parts import CLASSES
from pipelines.images import as_images
from pipelines.mm2latent import PIVOT, Source
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


def edits(bench: Bench) -> dict[str, dict[str, float]]:
    """Edits of inverted portraits: success before and after, the person, what is left alone."""
    p = bench.pipeline
    sources = [p.invert(image) for image in as_images(bench.x[: bench.edited])]
    found = {f"text: {words}": by_text(bench, sources, fact, option, words, may)
             for fact, option, words, may in WORDS}  # fmt: skip
    for name in SHAPES:
        for kind in ("mask", "sketch"):
            if kind in p.conditions:
                found[f"{kind}: {name}"] = by_shape(bench, sources, name, kind)
    if "morphable" in p.conditions and "yaw" in p.layout.names:
        found["3dmm: yaw"] = by_turn(bench, sources)
    return found


def by_text(
    bench: Bench, sources: list[Source], fact: str, option: str, words: str, may: tuple[str, ...]
) -> dict[str, float]:
    """Eq. 8 on sources that do not show the option; success: the judge sees it afterwards."""
    p, found = bench.pipeline, {"after": [], "identity": [], "kept": []}
    free = torch.tensor([CLASSES.index(name) for name in may], dtype=torch.uint8)
    for source in sources:
        if _seen(bench, source.image, fact) == option:
            continue
        edited = p.edit(source, f"{PIVOT} {words}")
        before, after = (_classes(bench, image) for image in (source.image, edited.image))
        stays = ~(torch.isin(before, free) | torch.isin(after, free))
        found["after"].append(float(_seen(bench, edited.image, fact) == option))
        found["identity"].append(_likeness(bench, source.image, edited.image))
        found["kept"].append((before == after)[stays].float().mean().item())
    return {**_means(found), "portraits": len(found["after"])}


def by_shape(bench: Bench, sources: list[Source], name: str, kind: str) -> dict[str, float]:
    """Eq. 9 towards what the renderer's own edit looks like. Success: of the pixels whose class
    that changes, the share in their new class (masks); F1 beside the new sketch."""
    p, found = bench.pipeline, {"before": [], "after": [], "identity": [], "kept": []}
    edit = EDITS[name]
    wanted = [_changed(bench, i, edit) for i in range(len(sources))]
    x, classes = bench.rendered(np.stack(wanted))
    targets = {"mask": classes, "sketch": sketch_of(x)}[kind]
    for i, source in enumerate(sources):
        edited = p.edit(source, _array(targets[i], kind), kind=kind)
        old = bench.given["mask"][i]
        moved = classes[i] != old
        before, after = (_classes(bench, image) for image in (source.image, edited.image))
        for key, image, seen in (("before", source.image, before), ("after", edited.image, after)):
            if kind == "mask":
                found[key].append((seen == classes[i])[moved].float().mean().item())
            else:
                found[key].append(bench.agreement(_x(image), kind, targets[i][None]).item())
        found["identity"].append(_likeness(bench, source.image, edited.image))
        found["kept"].append((before == after)[~moved].float().mean().item())
    return {**_means(found), "portraits": len(sources)}


def by_turn(bench: Bench, sources: list[Source]) -> dict[str, float]:
    """Eq. 9 by TURN degrees of yaw towards the middle; success: degrees that the judge sees."""
    p, found = bench.pipeline, {"after": [], "identity": [], "kept": []}
    column = p.layout.names.index("yaw")
    for source in sources:
        before = float(source.given["morphable"][column])
        turn = -TURN if before > 0 else TURN
        edited = p.edit(source, {"yaw": before + turn}, kind="morphable")
        both = torch.cat([_x(source.image), _x(edited.image)])
        first, second = bench.over(both, lambda x: p.judge(x).values["yaw"]).tolist()
        found["after"].append((second - first) / turn)
        found["identity"].append(_likeness(bench, source.image, edited.image))
        found["kept"].append(edited.kept)
    return {**_means(found), "portraits": len(sources)}


def _changed(bench: Bench, index: int, edit: Edit) -> np.ndarray:
    """Parameters of a portrait after the renderer's edit, towards where it is not."""
    p = bench.parameters[index]
    change = edit.low if float(edit.value(p)) > 0.5 else edit.high
    return draw(latent(SEEDS["test"][index]), edit.apply(p, change))


def _array(target: Tensor, kind: str) -> np.ndarray:
    array = target.numpy()
    return array if kind == "mask" else array.astype(bool)


def _x(image: Image.Image) -> Tensor:
    return to_tensor(np.asarray(image)[None])


def _classes(bench: Bench, image: Image.Image) -> Tensor:
    return bench.over(_x(image), lambda x: bench.pipeline.codes.read(x, "mask"))[0]


@torch.no_grad()
def _seen(bench: Bench, image: Image.Image, fact: str) -> str:
    return words_of(bench.pipeline.judge(_x(image).to(bench.pipeline.device)))[0][fact]


def _likeness(bench: Bench, a: Image.Image, b: Image.Image) -> float:
    both = torch.cat([_x(a), _x(b)])
    first, second = bench.over(both, lambda x: bench.pipeline.judge(x).embedding)
    return float(first @ second)


def _means(found: Mapping[str, list[float]]) -> dict[str, float]:
    return {key: float(np.nanmean(v)) if v else float("nan") for key, v in found.items()}
