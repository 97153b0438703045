"""What every figure of MM2Latent needs: test portraits with their captions and conditions, and how
well pictures agree with them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from examples.clay.captions import age_in_years
from examples.clay.facts import FACTS, facts
from examples.clay.parameters import CHOICES, INDEX, SEEDS, SKIN_TONES, draw, latent
from examples.clay.parts import PART_TO_CLASS
from examples.clay.render import render
from examples.clay.wording import Caption, write
from pipelines.mm2latent import MM2Latent
from pipelines.multimodal_baselines import Bank
from pipelines.multimodal_inputs import sketch_of
from pipelines.networks.judge import JudgeOutput, PortraitJudge
from pipelines.training.loop import to_tensor
from pipelines.training.mm_samples import Samples
from tests.benchmarks.kept import PIPELINES, Kept, marked

SOURCES = (
    "mm2latent", "multimodal_reader", "multimodal_editor", "multimodal_baselines",
    "condition_codes", "multimodal_inputs", "morphable",
)  # fmt: skip
Row = dict[str, Tensor]
Project = Callable[[slice], Float[Tensor, "b layers dim"]]
FEW_SAMPLES = 32  # of the generator with --quick, among which "nearest" chooses


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures, what is measured of each, their embeddings, and the condition that they show."""

    x: Float[Tensor, "n 3 h w"]
    row: Row
    f_img: Float[Tensor, "n d"]
    read: Tensor


@dataclass
class Bench:
    """What every figure needs: the pipeline, test portraits x with captions and conditions."""

    pipeline: MM2Latent
    count: int
    quick: bool = False
    keep: Path | None = None
    samples: Samples | None = None
    few: int = 32  # portraits for what is optimised
    ablated: int = 400  # portraits for Tables 2 and 3
    edited: int = 60  # portraits for edits
    batch: int = 16

    def __post_init__(self) -> None:
        if self.quick:
            self.count, self.few, self.ablated, self.edited = 16, 2, 8, 4
        p, seeds = self.pipeline, SEEDS["test"]
        self.steps, self.train_steps = (3, 4) if self.quick else (40, 1500)
        self.parameters = draw(np.stack([latent(s) for s in seeds[: self.count]]))
        self.x, classes = self.rendered(self.parameters)
        others = draw(np.stack([latent(s) for s in seeds[self.count : 2 * self.count]]))
        self.others = self.over(self.rendered(others)[0], p.embedding.embed_images)
        rows = facts(self.parameters)
        self.captions = [write(row, np.random.default_rng(i)) for i, row in enumerate(rows)]
        self.f_text = torch.cat([
            p.embedding.embed_texts([c.text for c in self.captions[i : i + 64]]).cpu()
            for i in range(0, self.count, 64)
        ])  # fmt: skip
        numbers = self.parameters[:, [INDEX[n] for n in p.layout.names if n in INDEX]]
        self.given = {
            "mask": classes, "sketch": sketch_of(self.x), "morphable": torch.from_numpy(numbers),
        }  # fmt: skip
        networks = [p.generator, p.encoder, p.embedding, *p.codes.modules, *p.mappings.values()]
        sources = [PIPELINES / f"{name}.py" for name in SOURCES]
        self.kept = Kept(self.keep, [n for n in networks if n is not None], sources)

    def rendered(self, parameters: np.ndarray) -> tuple[Tensor, Tensor]:
        """Pictures in [-1, 1] and their true classes."""
        images, parts = zip(
            *(render(p, self.pipeline.size) for p in np.array_split(parameters, 8) if len(p)),
            strict=True,
        )
        classes = PART_TO_CLASS[np.concatenate([np.asarray(p) for p in parts])]
        x = to_tensor(np.concatenate([np.asarray(i) for i in images]))
        return x, torch.from_numpy(classes)

    @torch.no_grad()
    def over(self, items: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """`function` of batches on the device, gathered on the CPU."""
        parts = items.split(self.batch)
        return torch.cat([function(part.to(self.pipeline.device)).cpu() for part in parts])

    def codes(self, name: str, count: int, project: Project) -> Float[Tensor, "n layers dim"]:
        """Codes of the first portraits' inputs by one method."""
        mark = marked(torch.cat([self.f_text.flatten(), torch.tensor([float(count)])]))

        def make() -> dict[str, Tensor]:
            rows = [slice(i, min(i + self.batch, count)) for i in range(0, count, self.batch)]
            return {"w": torch.cat([project(part).cpu() for part in rows])}

        return self.kept(f"{name}-{mark}".replace(" ", "-").replace(",", ""), make)["w"]

    def pictures(self, ws: Float[Tensor, "n layers dim"]) -> Float[Tensor, "n 3 h w"]:
        return self.over(ws, lambda w: self.pipeline.generator.synthesis(w).clamp(-1, 1))

    @functools.cached_property
    def bank(self) -> Bank:
        """The pipeline's samples of the generator, few of them where this only runs."""
        p = self.pipeline
        if not self.quick:
            return p.bank
        return Bank.explore(p.generator, p.embedding, p.device, FEW_SAMPLES)

    def figures(
        self, x: Float[Tensor, "n 3 h w"], texts: Sequence[int] | None = None, kind: str = "mask"
    ) -> Pictures:
        """What is measured of each picture.

        texts: number of the caption that each picture is compared with, its own by default.
        """
        p, count = self.pipeline, len(x)
        texts = range(count) if texts is None else texts
        f_img, read = self.over(x, p.embedding.embed_images), self.read(x, kind)
        row = {
            "text": (f_img * self.f_text[list(texts)]).sum(1),
            "attributes": self.named_right(x, [self.captions[i] for i in texts]),
            kind: p.codes.alike(read, kind, self.given[kind][:count]),
        }
        return Pictures(x, row, f_img, read)

    def read(self, x: Float[Tensor, "n 3 h w"], kind: str) -> Tensor:
        """The condition that each picture shows."""
        return self.over(x, lambda part: self.pipeline.codes.read(part, kind))

    def named_right(self, x: Tensor, captions: Sequence[Caption]) -> Float[Tensor, " n"]:
        return named_right(self.pipeline.judge, x, captions, self.pipeline.device, self.batch)


@torch.no_grad()
def named_right(
    judge: PortraitJudge, x: Float[Tensor, "n 3 h w"], captions: Sequence[Caption],
    device: torch.device, batch: int = 16,
) -> Float[Tensor, " n"]:  # fmt: skip
    """Of each caption's facts that the judge knows, the share that it sees in the picture."""
    shares = []
    for start in range(0, len(x), batch):
        rows = slice(start, start + batch)
        seen = words_of(judge(x[rows].to(device)))
        for caption, words in zip(captions[rows], seen, strict=True):
            right = [
                words[phrase.fact] in {v.removeprefix("greying ") for v in phrase.values}
                for phrase in caption.phrases
                if phrase.fact in words
            ]
            shares.append(float(np.mean(right)) if right else float("nan"))
    return torch.tensor(shares)


def words_of(output: JudgeOutput) -> list[dict[str, str]]:
    """What the judge sees in each picture, in the words of FACTS."""
    found = []
    for i in range(len(output.embedding)):
        seen = {
            name: CHOICES[name][int(logits[i].argmax())]
            for name, logits in output.choices.items()
            if name in FACTS
        }
        if "age" in output.values:
            seen["age"] = str(age_in_years(float(output.values["age"][i].clamp(0, 1))))
        if "skin_tone" in output.values:
            tone = float(output.values["skin_tone"][i].clamp(0, 0.999))
            seen["skin_tone"] = SKIN_TONES[int(6 * tone)]
        found.append(seen)
    return found
