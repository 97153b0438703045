"""What MM2Latent's mapping is trained on: samples of the generator, read once and kept on disk.

A sample is a code w, the embedding of its picture, and the code of each condition that the picture
shows: the parser's mask, Canny's sketch, 3DMM numbers. Chunks of a thousand lie in a folder that is
named after the networks that read them, so that nothing is mixed and a stopped run goes on. A
sample takes 3 kB, its picture, the costly part, is never kept.

Symbols: w, a code; f_img, the unit embedding of its picture; f_cond, the code of a condition.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from pipelines.condition_codes import ConditionCodes
from pipelines.latents import fingerprint, read
from pipelines.multimodal_baselines import Embedding
from pipelines.networks.stylegan2 import Generator
from pipelines.training.loop import autocast

CHUNK, BATCH = 500, 20  # samples of a file, and pictures at once
HELD_OUT = 0.05  # share of the samples, the last ones


@dataclass(frozen=True, eq=False)
class Samples:
    """Codes of samples, the embeddings of their pictures, and their conditions' codes by kind."""

    w: Float[Tensor, "n dim"]
    f_img: Float[Tensor, "n d"]
    f_cond: Mapping[str, Float[Tensor, "n c"]]

    def __len__(self) -> int:
        return len(self.w)

    def part(self, held_out: bool) -> Samples:
        """The samples that are held out, or the others."""
        border = len(self) - max(1, round(HELD_OUT * len(self)))
        rows = slice(border, None) if held_out else slice(border)
        f_cond = {kind: f[rows] for kind, f in self.f_cond.items()}
        return Samples(self.w[rows], self.f_img[rows], f_cond)

    def to(self, device: torch.device) -> Samples:
        """The same on a device, in float32."""
        f_cond = {kind: f.to(device).float() for kind, f in self.f_cond.items()}
        return Samples(self.w.to(device).float(), self.f_img.to(device).float(), f_cond)


@dataclass(frozen=True)
class Sampler:
    """The frozen networks that make samples and read them."""

    generator: Generator
    embedding: Embedding
    codes: ConditionCodes
    device: torch.device

    @property
    def name(self) -> str:
        """Sixteen letters that change with any weight of any network."""
        networks = (self.generator, self.embedding, *self.codes.modules)
        sums = "".join(fingerprint(network) for network in networks if network is not None)
        return hashlib.sha256((sums + " ".join(self.codes.kinds)).encode()).hexdigest()[:16]

    @torch.no_grad()
    def chunk(self, number: int) -> dict[str, Tensor]:
        """The samples of one chunk, in half precision."""
        random = torch.Generator().manual_seed(number)
        rows = []
        for part in torch.randn(CHUNK, self.generator.z_dim, generator=random).split(BATCH):
            ws = self.generator.mapping(part.to(self.device))
            with autocast(self.device):  # not of w itself, which is what is learnt
                x = self.generator.synthesis(ws).float().clamp(-1, 1)
                row = {"w": ws[:, 0], "f_img": self.embedding.embed_images(x)}
                for kind in self.codes.kinds:
                    row[kind] = self.codes.coded(self.codes.read(x, kind), kind)
            rows.append(row)
        return {key: torch.cat([row[key] for row in rows]).half().cpu() for key in rows[0]}


def collect(sampler: Sampler, folder: Path, count: int) -> Samples:
    """About `count` samples, from disk where they were made before."""
    folder = folder / sampler.name
    folder.mkdir(parents=True, exist_ok=True)
    chunks = max(1, -(-count // CHUNK))
    for number in tqdm(range(chunks), unit=f"{CHUNK} samples"):
        path = folder / f"{number:05d}.safetensors"
        if not path.exists():
            tensors = {k: v.contiguous() for k, v in sampler.chunk(number).items()}
            partial = path.with_suffix(".partial")
            save_file(tensors, partial, {"config": json.dumps({"chunk": number})})
            partial.replace(path)  # appears last and whole
    return kept(folder, chunks)


def kept(folder: Path, chunks: int | None = None) -> Samples:
    """The samples of one folder; FileNotFoundError where there are none."""
    paths = sorted(folder.glob("*.safetensors"))[:chunks]
    if not paths:
        raise FileNotFoundError(
            f"{folder} must hold samples of the generator; got none. Make them: "
            "python -m pipelines.training.mm_mapping --samples FOLDER"
        )
    found = [read(path, "samples of the generator")[0] for path in paths]
    whole = {key: torch.cat([tensors[key] for tensors in found]) for key in found[0]}
    w, f_img = whole.pop("w"), whole.pop("f_img")
    return Samples(w, f_img, whole)
