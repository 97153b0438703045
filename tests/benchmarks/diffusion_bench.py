"""What every figure of diffusion-driven inversion needs: test portraits with captions and
conditions, pictures of them in pieces, and what is measured of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from examples.clay.facts import facts
from examples.clay.parameters import SEEDS, draw, latent
from examples.clay.parts import CLASSES, PALETTE, PART_TO_CLASS
from examples.clay.render import render
from examples.clay.wording import write
from pipelines.conditions import MASK, SCRIBBLE, Condition
from pipelines.diffusion_inversion import DiffusionInversion
from pipelines.images import as_images, as_tensor
from pipelines.latent_diffusion import STEPS
from pipelines.measures import frechet_distance, identity, ms_ssim
from pipelines.mm2latent import MM2Latent
from pipelines.networks.diffusion_mapping import MappingNetwork, StyleModulation
from pipelines.networks.parser import FaceParser
from pipelines.training.loop import to_tensor
from pipelines.training.sharding import here
from tests.benchmarks import mm2latent_bench
from tests.benchmarks.kept import PIPELINES, Kept
from tests.benchmarks.mm2latent_bench import named_right

OURS, CONTROLNET, MM2LATENT = "ours", "controlnet", "mm2latent"
SOURCES = ("diffusion_inversion", "latent_diffusion", "conditions")
Row = dict[str, Tensor]
DrawOne = Callable[[str, Condition, int], tuple[Image.Image, float]]
PIECE, TIMED = 20, 10  # pictures of a file, and those that are timed


@dataclass
class Bench:
    """The pipeline, its rival, and test portraits with captions and conditions."""

    pipeline: DiffusionInversion
    parser: FaceParser
    rival: MM2Latent | None = None
    count: int = 300
    quick: bool = False
    keep: Path | None = None
    other: Mapping[str, tuple[MappingNetwork, StyleModulation]] | None = None

    def __post_init__(self) -> None:
        self.count = 8 if self.quick else self.count
        self.steps = 3 if self.quick else STEPS
        self.parameters, self.x, self.classes = rendered(self.pipeline.size, 0, self.count)
        self.strangers = rendered(self.pipeline.size, self.count, self.count)[1]
        rows = facts(self.parameters)
        self.captions = [write(row, np.random.default_rng(i)) for i, row in enumerate(rows)]
        pictures = as_images(self.x)
        self.conditions = {
            MASK: [Condition.mask(labels, PALETTE) for labels in self.classes.numpy()],
            SCRIBBLE: [Condition.scribble_of(p, self.pipeline.size) for p in pictures],
        }
        self.shard = here()
        if self.keep is None and self.shard.count > 1:
            raise ValueError("keep must be a folder where processes share the work; got none.")
        self._kept: dict[str, Kept] = {}

    def kept(self, name: str) -> Kept:
        """The pieces of a method or row, which the networks of others do not touch."""
        if name not in self._kept:
            sources = [PIPELINES / f"{name}.py" for name in (*SOURCES, *mm2latent_bench.SOURCES)]
            self._kept[name] = Kept(self.keep, self._networks(name), sources)
        return self._kept[name]

    def _networks(self, name: str) -> list[nn.Module]:
        """What the pictures of a method or row depend on."""
        p, rival = self.pipeline, self.rival
        if name == MM2LATENT:
            assert rival is not None, "rows of a rival are drawn by one"
            networks = [
                p.generator,
                rival.embedding,
                *rival.mappings.values(),
                *rival.codes.modules,
            ]
        elif name == CONTROLNET:
            networks = [p.autoencoder, *p.encoders.values(), p.text.texts]
        else:
            own = (p.mapping, p.ablated if name == "b" else p.modulation)
            pair = (self.other or {}).get(name, own)
            networks = [p.generator, *p.encoders.values(), p.text.texts, *pair]
        return [net for net in networks if net is not None]

    def pictures(self, name: str, task: str, draw_one: DrawOne) -> Float[Tensor, "n 3 h w"]:
        """Pictures of all portraits' inputs by one method. Processes of `shard` wait for each
        other."""

        def make(numbers: range) -> dict[str, Tensor]:
            return {"x": torch.cat([
                as_tensor(self.drawn(draw_one, task, i)[0], self.pipeline.size) for i in numbers
            ])}  # fmt: skip

        def piece(numbers: range) -> Tensor:
            label = f"{name}-{task}-{self.steps}-{numbers.start}-{numbers.stop}".replace(" ", "-")
            return self.kept(name)(label, lambda: make(numbers))["x"]

        parts = [range(i, min(i + PIECE, self.count)) for i in range(0, self.count, PIECE)]
        own = {part: piece(part) for part in self.shard.part(parts)}
        self.shard.gather([])  # all are made
        return torch.cat([own[part] if part in own else piece(part) for part in parts])

    def drawn(self, draw_one: DrawOne, task: str, i: int) -> tuple[Image.Image, float]:
        """The picture of one portrait's inputs, and its seconds."""
        return draw_one(self.captions[i].text, self.conditions[task][i], i)

    def seconds(self, draw_one: DrawOne, task: str) -> Float[Tensor, " n"]:
        """Of the first few portraits' pictures, drawn anew by the process that measures."""
        count = min(TIMED, self.count)
        return torch.tensor([self.drawn(draw_one, task, i)[1] for i in range(count)])

    def figures(self, x: Float[Tensor, "n 3 h w"], task: str) -> Row:
        """What Table 1 says of each picture; masks count where the condition is one."""
        p = self.pipeline
        pairs = list(zip(x.split(16), self.x.split(16), strict=True))
        with torch.no_grad():
            found: Row = {
                "lpips": torch.cat([p.perceptual(a, b) for a, b in pairs]),
                "ms-ssim": torch.cat([ms_ssim(a, b) for a, b in pairs]),
                "identity": torch.cat([identity(p.judge, a, b) for a, b in pairs]),
                "text": named_right(p.judge, x, self.captions, p.device),
            }
            if task == MASK:
                labels = torch.cat([self.parser.parse(a) for a, _ in pairs])
                found["accuracy"] = (labels == self.classes).float().mean((1, 2))
                found["miou"] = overlap(labels, self.classes)
        return found

    def frechet(self, x: Float[Tensor, "n 3 h w"]) -> float:
        """Of the perceptual network's features, to portraits of other people."""
        features = [
            torch.cat([self.pipeline.perceptual.features(part) for part in side.split(16)])
            for side in (x, self.strangers)
        ]
        return frechet_distance(*features)


def rendered(size: int, first: int, count: int) -> tuple[np.ndarray, Tensor, Tensor]:
    """Parameters, pictures in [-1, 1] and classes of test portraits."""
    seeds = SEEDS["test"][first : first + count]
    parameters = draw(np.stack([latent(seed) for seed in seeds]))
    images, parts = render(parameters, size)
    return parameters, to_tensor(images), torch.from_numpy(PART_TO_CLASS[parts]).long()


def overlap(labels: Tensor, truth: Tensor) -> Float[Tensor, " n"]:
    """Mean intersection over union of the classes that occur in either, a picture each."""
    shares = []
    for a, b in zip(labels, truth, strict=True):
        both = [((a == c) & (b == c)).sum() / ((a == c) | (b == c)).sum()
                for c in range(len(CLASSES)) if (a == c).any() or (b == c).any()]  # fmt: skip
        shares.append(torch.stack(both).mean())
    return torch.stack(shares)
