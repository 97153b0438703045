"""Learn EditGAN's library of editing vectors (Ling et al., NeurIPS 2021, Sec. 3.3 and 3.4).

    python -m pipelines.training.editing_vectors --out RUN --weights FILE

Each vector is learnt from one training portrait: the renderer says how its mask changes with the
edit, that change is painted on the predicted mask, and Eqs. 1 to 5 find the vector. It is then
applied to embedded validation portraits. An edit succeeds on a portrait where the edit's statistic
of the predicted mask (an area, a place, a width; `examples.clay.part_edits`) moves at least half as
far as the renderer's own edit of that portrait moves the true mask's. Vectors that succeed on fewer
than --keep of the portraits are reported and left out.

--vectors FILE measures the vectors of a file again, as after the branch that reads the masks was
trained anew, and learns only those that it lacks. Those of another generator with the same mapping
network, as after `sharpen`, mean the same in w: they are carried over, and success decides.

The source is chosen among a few training portraits, as the one whose predicted mask is nearest to
the truth in the edited parts: a bad embedding would teach its own faults. Held-out portraits have
no say in it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from tqdm import tqdm

import weights
from examples.clay.parameters import SEEDS, draw, latent
from examples.clay.part_edits import PART_EDITS, PartEdit
from examples.clay.parts import PARTS
from pipelines.editgan import EditGAN, Embedding
from pipelines.editing_vector import EditingVector, as_tensors, from_tensors
from pipelines.latents import read
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.segmentation import SegmentationBranch
from pipelines.networks.stylegan2 import Generator
from pipelines.runtime import choose_device
from pipelines.training.indomain_encoder import given
from pipelines.training.loop import to_tensor
from pipelines.training.segmentation_branch import embedded, masks_of
from pipelines.training.threads import use_threads

SOURCES = SEEDS["train"][500_000:]  # of the training range, rendered for no other training
HALF = 0.5  # share of the true change that counts as success


@dataclass(frozen=True)
class Truth:
    """A portrait before and after an edit, as the renderer knows it."""

    images: UInt8[np.ndarray, "2 h w 3"]
    masks: UInt8[np.ndarray, "2 h w"]


def truth(edit: PartEdit, seed: int, size: int, scale: float = 1.0) -> Truth:
    """The true answer to an edit of a seed's portrait."""
    from examples.clay.render import render  # numba: only where something is rendered

    z = latent(seed)
    p = draw(z)
    images, masks = render(np.stack([p, draw(z, edit.apply(p, scale))]), size)
    masks = np.array(masks)
    if edit.paint is not None:
        masks[1] = edit.paint(masks[0])
    return Truth(np.asarray(images), masks)


def chosen(edits: Iterable[PartEdit], seeds: Iterable[int], count: int) -> dict[str, list[int]]:
    """`count` seeds for every edit that suit it, shared among edits where that is possible."""
    found: dict[str, list[int]] = {edit.name: [] for edit in edits}
    missing = {edit.name: edit for edit in edits}
    for seed in seeds:
        if not missing:
            return found
        p = draw(latent(seed))
        suited = [name for name, edit in missing.items() if edit.suits(p)]
        for name in suited:
            found[name].append(seed)
            if len(found[name]) == count:
                del missing[name]
    raise ValueError(f"seeds must suit every edit {count} times; {', '.join(missing)} lack some.")


def painted(
    predicted: UInt8[np.ndarray, "h w"], true: UInt8[np.ndarray, "2 h w"], q_edit: tuple[str, ...]
) -> UInt8[np.ndarray, "h w"]:
    """The predicted mask with the true change of the edit's parts painted on it."""
    labels = [PARTS.index(name) for name in q_edit]
    before, after = true
    change = (before != after) & (np.isin(before, labels) | np.isin(after, labels))
    # What the edit takes away may be predicted a little beside its true place: it goes as well.
    gone = np.isin(predicted, labels) & ~np.isin(after, labels)
    return np.where(change | gone, after, predicted)


def agreement(
    predicted: UInt8[np.ndarray, "h w"], true: UInt8[np.ndarray, "h w"], q_edit: tuple[str, ...]
) -> float:
    """Share of pixels with a part of Q_edit in either mask where both masks are equal; 1 where
    neither shows one."""
    either = np.isin(np.stack([predicted, true]), [PARTS.index(n) for n in q_edit]).any(0)
    return float((predicted == true)[either].mean()) if either.any() else 1.0


def learn(
    pipeline: EditGAN,
    edit: PartEdit,
    sources: Mapping[int, Embedding],
    steps: int,
    identity: bool = True,
) -> EditingVector:
    """The vector of an edit from the best embedded of its source portraits."""
    known = {seed: truth(edit, seed, pipeline.size) for seed in sources}
    seed = max(sources, key=lambda s: agreement(sources[s].mask, known[s].masks[0], edit.q_edit))
    mask = painted(sources[seed].mask, known[seed].masks, edit.q_edit)
    found = pipeline.edit(sources[seed], mask, q_edit=edit.q_edit, steps=steps, identity=identity)
    return replace(found.vector, name=edit.name, seed=seed)


def carried(pipeline: EditGAN, vector: EditingVector, source: Embedding) -> EditingVector:
    """A vector of another generator with the same mapping network, with this one's pictures."""
    own = replace(vector, domain=pipeline.domain, generator=pipeline.fingerprint)
    thumbnail = pipeline.apply(source, [(own, 1.0)]).vector.thumbnail
    return replace(own, thumbnail=thumbnail)


def reached(
    edit: PartEdit,
    predicted: UInt8[np.ndarray, "2 h w"],
    true: UInt8[np.ndarray, "2 h w"],
) -> float | None:
    """How much of the true change of the edit's statistic happened; None where nothing should."""
    wanted = edit.statistic(true[1]) - edit.statistic(true[0])
    if not wanted >= edit.least:  # NaN fails this too
        return None
    return float(
        np.nan_to_num((edit.statistic(predicted[1]) - edit.statistic(predicted[0])) / wanted)
    )


def measure(
    pipeline: EditGAN, edit: PartEdit, vector: EditingVector, codes: Tensor, seeds: list[int]
) -> dict[str, float]:
    """Success of a vector on embedded held-out portraits, and the median share it reached."""
    before, after = (masks_of(pipeline, codes + scale * vector.delta) for scale in (0.0, 1.0))
    pairs = zip(seeds, before, after, strict=True)
    shares = [
        reached(edit, np.stack([a, b]), truth(edit, seed, pipeline.size).masks)
        for seed, a, b in pairs
    ]
    counted = np.array([share for share in shares if share is not None])
    if not len(counted):
        return {"success": 0.0, "median share": 0.0, "portraits": 0}
    success = float((counted >= HALF).mean())
    return {
        "success": success,
        "median share": float(np.median(counted)),
        "portraits": len(counted),
    }


def codes_of(
    pipeline: EditGAN, seeds: list[int], steps: int
) -> dict[int, Float[Tensor, "layers dim"]]:
    """Embedded codes of portraits by seed."""
    from examples.clay.render import render

    images, _ = render(draw(np.stack([latent(seed) for seed in seeds])), pipeline.size)
    codes = embedded(pipeline, to_tensor(np.asarray(images)), steps).cpu()
    return dict(zip(seeds, codes, strict=True))


def embeddings_of(pipeline: EditGAN, seeds: list[int], steps: int) -> dict[int, Embedding]:
    """Embedded source portraits by seed."""
    from examples.clay.render import render

    if not seeds:
        return {}
    images, _ = render(draw(np.stack([latent(seed) for seed in seeds])), pipeline.size)
    pictures = tqdm(list(zip(seeds, images, strict=True)), desc="sources")
    return {s: pipeline.embed(Image.fromarray(np.asarray(x)), steps=steps) for s, x in pictures}


def build(arg: argparse.Namespace) -> EditGAN:
    """The pipeline without a library."""
    device = choose_device(arg.device)
    networks = (
        (Generator, "generator", "generator"),
        (LayerwiseEncoder, "encoder", "editgan-encoder"),
        (SegmentationBranch, "branch", "segmentation-branch"),
        (PerceptualDistance, "perceptual", "perceptual"),
        (PortraitJudge, "judge", "judge"),
    )
    loaded = [
        given(network, getattr(arg, option), f"clay-heads/{name}", device)
        for network, option, name in networks
    ]
    return EditGAN(*loaded, device=device)


def library(
    pipeline: EditGAN, arg: argparse.Namespace
) -> tuple[list[EditingVector], dict[str, dict[str, float]]]:
    """Vectors worth keeping, and a row of figures for every edit."""
    known = from_tensors(*read(arg.vectors, "editing vectors")) if arg.vectors else {}
    edits = [PART_EDITS[name] for name in arg.only or PART_EDITS]
    held_out = chosen(edits, SEEDS["validation"], arg.held_out)
    unknown = [edit for edit in edits if edit.name not in known]
    sources = chosen(unknown, SOURCES, arg.candidates)
    sources |= {
        name: [vector.seed]
        for name, vector in known.items()
        if name in held_out and vector.generator != pipeline.fingerprint
    }
    embeddings = embeddings_of(
        pipeline, sorted({s for v in sources.values() for s in v}), arg.embed_steps
    )
    codes = codes_of(pipeline, sorted({s for v in held_out.values() for s in v}), arg.embed_steps)
    kept, rows = [], {}
    for edit in tqdm(edits, desc="vectors"):
        if (vector := known.get(edit.name)) is None:
            own = {seed: embeddings[seed] for seed in sources[edit.name]}
            vector = learn(pipeline, edit, own, arg.steps, arg.identity)
        elif vector.generator != pipeline.fingerprint:
            vector = carried(pipeline, vector, embeddings[vector.seed])
        seeds = held_out[edit.name]
        row = measure(pipeline, edit, vector, torch.stack([codes[s] for s in seeds]), seeds)
        rows[edit.name] = {**row, "source": vector.seed}
        if row["success"] >= arg.keep:
            measured = {key: row[key] for key in ("success", "portraits")}
            kept.append(replace(vector, success=measured))
    return kept, rows


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Learn EditGAN's library of editing vectors.")
    parser.add_argument("--out", type=Path, required=True, help="folder for metrics.json")
    parser.add_argument("--weights", type=Path, help="write the library here")
    for name in ("generator", "encoder", "branch", "perceptual", "judge"):
        parser.add_argument(
            f"--{name}", type=Path, help="weights file; the registered one if absent"
        )
    parser.add_argument("--vectors", type=Path, help="measure these again, learn what they lack")
    parser.add_argument("--only", nargs="+", choices=PART_EDITS, metavar="EDIT", help="these alone")
    parser.add_argument("--steps", type=int, default=100, help="of optimisation, for a vector")
    parser.add_argument("--embed-steps", type=int, default=100)
    parser.add_argument("--candidates", type=int, default=3, help="source portraits to choose from")
    parser.add_argument("--held-out", type=int, default=12, help="validation portraits an edit")
    parser.add_argument("--keep", type=float, default=0.5, help="least success of a kept vector")
    parser.add_argument("--no-identity", dest="identity", action="store_false", help="leave Eq. 4")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0")
    parser.add_argument("--threads", type=int, help="CPU threads; all by default")
    return parser.parse_args()


def main() -> None:
    arg = parse()
    use_threads(arg.threads)
    start = time.monotonic()
    pipeline = build(arg)
    vectors, rows = library(pipeline, arg)
    card = {
        "recipe": "python -m pipelines.training.editing_vectors",
        "seeds": f"train from {SOURCES.start} (sources), validation (held out)",
        "minutes": (time.monotonic() - start) / 60,
        "device": str(pipeline.device),
        "steps": arg.steps,
        "kept": f"{len(vectors)} of {len(rows)}, from success {arg.keep:g}",
        "held_out": rows,
    }
    text = json.dumps(card, indent=2)
    print(text)
    arg.out.mkdir(parents=True, exist_ok=True)
    (arg.out / "metrics.json").write_text(text + "\n")
    if arg.weights:
        tensors, config = as_tensors(vectors)
        weights.save(tensors, arg.weights, card, config)


if __name__ == "__main__":
    main()
