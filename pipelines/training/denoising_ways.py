"""Ways of denoising: what diffusion inversion's recipes read a diffusion model at.

Each portrait with a caption and its mask or scribble is denoised from noise in DDIM's steps, and
its latents at every step are kept in files with I_0^d, the picture at the end, and the codes that
an encoder of the generator finds for it (`Ways`): twenty calls a portrait, once. `read` calls the
U-Net at a step of a way and hands out what E finds there.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from jaxtyping import Float
from numpy.lib.format import open_memmap
from torch import Tensor
from tqdm import tqdm

import weights
from examples.clay.dataset import ClaySet, latents
from pipelines.conditions import MASK, SCRIBBLE
from pipelines.diffusion_inversion import TASKS
from pipelines.latent_diffusion import SCHEDULE, STEPS, centred, guided
from pipelines.networks.diffusion_encoder import DiffusionEncoder, DiffusionFeatures
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.joint_embedding import JointEmbedding
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.training.indomain_encoder import fast
from pipelines.training.latent_diffusion import Portraits, latents_of
from pipelines.training.loop import Loop, autocast, shuffled, to_tensor
from pipelines.training.sharding import here

CHUNK = 16  # portraits denoised at once
EMPTY = 0.1  # share of portraits without a caption
FIRST = 0.6  # share of the calls at the first step, at which the pipeline reads unless told


@dataclass(frozen=True)
class Networks:
    """What is frozen: E by task, the text encoder, the decoder of latents, G, its encoder, d, R."""

    encoders: dict[str, DiffusionEncoder]
    text: JointEmbedding
    autoencoder: AutoencoderKL
    generator: Generator
    encoder: LayerwiseEncoder
    perceptual: PerceptualDistance
    judge: PortraitJudge

    @classmethod
    def load(cls, options: argparse.Namespace, device: torch.device) -> Networks:
        """From the files of the command line, frozen, on a device."""
        unet = fast(weights.load_file(UNet2DConditionModel, options.denoiser, device))
        files = {MASK: options.mask, SCRIBBLE: options.scribble}
        return cls(
            {
                task: DiffusionEncoder(unet, fast(weights.load_file(ControlNetModel, file, device)))
                for task, file in files.items()
            },
            weights.load_file(JointEmbedding, options.text, device),
            weights.load_file(AutoencoderKL, options.autoencoder, device),
            fast(weights.load_file(Generator, options.generator, device)),
            fast(weights.load_file(LayerwiseEncoder, options.encoder, device)),
            fast(weights.load_file(PerceptualDistance, options.perceptual, device)),
            fast(weights.load_file(PortraitJudge, options.judge, device)),
        )


class Ways:
    """The ways of denoising of portraits of one task, made once and kept in a folder.

    z: (n, STEPS, 4, h, w), latents before each step, half precision; ends: I_0^d, (n, H, W, 3),
    bytes; codes: of the ends, (n, layers, d), half precision; captions: that of each portrait.
    first: the row of the first of them in the set. Making them goes on where it was interrupted.
    """

    def __init__(
        self, folder: Path, portraits: Portraits, networks: Networks, first: int = 0
    ) -> None:
        self.portraits, self.task, count = portraits, portraits.task, len(portraits)
        self.first = first
        folder.mkdir(parents=True, exist_ok=True)
        self.scheduler = DDIMScheduler(**SCHEDULE)
        self.scheduler.set_timesteps(STEPS)
        random = np.random.default_rng(0)
        device = networks.generator.mapping.w_avg.device
        rows = np.arange(count)
        chunks = np.array_split(rows, max(1, -(-count // CHUNK)))
        given = [portraits.asked(chunk, random, device) for chunk in chunks]
        self.captions = [caption for captions, _ in given for caption in captions]
        _check_kept(folder / "captions.json", self.captions)
        images = portraits.images
        shape = latents_of(images[:1], networks.autoencoder, device)[0].shape
        self.z = kept_array(folder / "z.npy", (count, STEPS, *shape), np.float16)
        self.ends = kept_array(folder / "ends.npy", images.shape, np.uint8)
        made = kept_array(folder / "made.npy", (len(chunks),), bool)

        def make(i: int) -> None:
            self.z[chunks[i]], self.ends[chunks[i]] = self._denoised(networks, *given[i], i * CHUNK)

        make_once(made, make, f"ways, {self.task}")
        layers, dim = networks.generator.num_ws, networks.generator.w_dim
        self.codes = kept_array(folder / "codes.npy", (count, layers, dim), np.float16)
        coded = kept_array(folder / "coded.npy", (len(chunks),), bool)

        def encode(i: int) -> None:
            with torch.no_grad():
                found = networks.encoder(to_tensor(self.ends[chunks[i]], device))
            self.codes[chunks[i]] = found.half().cpu().numpy()

        make_once(coded, encode, f"codes of their ends, {self.task}")

    def __len__(self) -> int:
        return len(self.captions)

    def first_of(self, count: int) -> Ways:
        """The first so many of them, of the same files."""
        fewer = copy.copy(self)
        fewer.captions = self.captions[:count]
        return fewer

    @torch.no_grad()
    def _denoised(
        self, networks: Networks, captions: list[str], visual: Tensor, first: int
    ) -> tuple[np.ndarray, np.ndarray]:
        states, _ = networks.text.context(captions)
        empty, _ = networks.text.context([""])
        random = torch.Generator().manual_seed(first)
        z = centred(torch.randn(len(captions), *self.z.shape[2:], generator=random))
        z = z.to(visual.device)
        way = []
        for t in self.scheduler.timesteps.tolist():
            way.append(z.half().cpu().numpy())
            with autocast(z.device):
                found = guided(networks.encoders[self.task], z, t, states, empty, visual)
            z = self.scheduler.step(found.float(), t, z).prev_sample
        scale = networks.autoencoder.config.scaling_factor
        end = networks.autoencoder.decode(z / scale).sample.clamp(-1, 1)
        pixels = ((end + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return np.stack(way, 1), pixels


def all_ways(folder: Path, data: ClaySet, name: str, count: int, networks: Networks) -> list[Ways]:
    """The ways of `count` portraits of a set a task, others for each, under folder/name-task."""
    device = networks.generator.mapping.w_avg.device
    found, count = [], min(count, len(data) // len(TASKS))
    for first, task in zip(range(0, len(data), count), TASKS, strict=False):
        rows = slice(first, first + count)
        portraits = Portraits(data, networks.autoencoder, device, task, rows, EMPTY)
        found.append(Ways(folder / f"{name}-{task}", portraits, networks, first))
    return found


@dataclass(frozen=True)
class Read:
    """What E reads of portraits by number, with what the codes are to show: I_gt and I_0^d; and
    codes of the portraits' own z and of I_0^d. rows: in the set; denoised, its codes: None where no
    way was followed."""

    rows: np.ndarray
    found: DiffusionFeatures
    spoken: Tensor
    t: Float[Tensor, "b"]
    truth: Float[Tensor, "b 3 h w"]
    denoised: Float[Tensor, "b 3 h w"] | None
    codes: Float[Tensor, "b layers dim"]
    denoised_codes: Float[Tensor, "b layers dim"] | None = None


@torch.no_grad()
def read(ways: Ways, rows: np.ndarray, places: np.ndarray, networks: Networks) -> Read:
    """E of portraits at steps of their ways; places: into the steps, 0 the first."""
    t = ways.scheduler.timesteps[torch.from_numpy(places)]
    z = torch.from_numpy(ways.z[rows, places]).float()
    captions = [ways.captions[row] for row in rows]
    visual = ways.portraits.conditions(rows)
    found = _read(ways.portraits, rows, (z, t, captions, visual), networks)
    ends = to_tensor(ways.ends[rows], found.t.device)
    codes = torch.from_numpy(ways.codes[rows]).float().to(found.t.device)
    return replace(found, rows=ways.first + rows, denoised=ends, denoised_codes=codes)


@torch.no_grad()
def read_first(
    portraits: Portraits, rows: np.ndarray, random: np.random.Generator, networks: Networks
) -> Read:
    """E of portraits with captions and noise drawn anew at the first step, which needs no way."""
    scheduler = DDIMScheduler(**SCHEDULE)
    scheduler.set_timesteps(STEPS)
    captions, visual = portraits.asked(rows, random, torch.device("cpu"))
    unet = networks.encoders[portraits.task].unet.config
    shape = len(rows), unet.in_channels, unet.sample_size, unet.sample_size
    z = centred(torch.from_numpy(random.standard_normal(shape, np.float32)))
    t = scheduler.timesteps[:1].expand(len(rows))
    return _read(portraits, rows, (z, t, captions, visual), networks)


def _read(portraits: Portraits, rows: np.ndarray, asked: tuple, networks: Networks) -> Read:
    """E of latents at steps t with captions and conditions, and what the portraits are."""
    device = networks.generator.mapping.w_avg.device
    z, t, captions, visual = asked
    z, t, visual = z.to(device), t.to(device), visual.to(device)
    states, spoken = networks.text.context(captions)
    found = networks.encoders[portraits.task](z, t, states, visual)
    truth = to_tensor(portraits.images[rows], device)
    own = torch.from_numpy(latents(portraits.seeds[rows], portraits.identities[rows]))
    codes = networks.generator.mapping(own.to(device))
    return Read(rows, found, spoken, t.float(), truth, None, codes)


def drawn(ways: list[Ways], loop: Loop, networks: Networks, batch: int) -> Iterator[Read]:
    """Endless batches, a task after the other, each portrait at a step of its way."""
    random = np.random.default_rng(loop.step)
    rows = [shuffled(len(way), batch, seed=loop.step + i) for i, way in enumerate(ways)]
    while True:
        for way, of_task in zip(ways, rows, strict=True):
            chosen = next(of_task)
            places = random.integers(0, STEPS, len(chosen))
            places[random.random(len(chosen)) < FIRST] = 0
            yield read(way, chosen, places, networks)


def drawn_first(data: ClaySet, loop: Loop, networks: Networks, batch: int) -> Iterator[Read]:
    """Endless batches of all portraits of a set at the first step, a task after the other."""
    random = np.random.default_rng(loop.step)
    sets = [Portraits(data, networks.autoencoder, loop.device, task, empty=EMPTY) for task in TASKS]
    for portraits, rows in zip(itertools.cycle(sets), shuffled(len(data), batch, loop.step)):
        yield read_first(portraits, rows, random, networks)


def kept_array(path: Path, shape: tuple[int, ...], kind: type) -> np.memmap:
    """A file of so many numbers, one for all processes: that which is there, or a new one."""
    if here().first and not path.exists():
        open_memmap(path, "w+", kind, shape).flush()
    here().gather([])  # the others wait for it
    found = np.load(path, mmap_mode="r+")
    if found.shape != shape:
        raise ValueError(
            f"{path} must hold {shape} to go on; got {found.shape}. Use another --out."
        )
    return found


def _check_kept(path: Path, captions: list[str]) -> None:
    """ValueError unless what was denoised before had these captions; kept where there are none."""
    if here().first and not path.exists():
        path.write_text(json.dumps(captions))
    here().gather([])  # the others wait for it
    if (found := json.loads(path.read_text())) != captions:
        raise ValueError(
            f"{path} must hold the captions of these {len(captions)} portraits to go on; got "
            f"{len(found)} others. Use another --out."
        )


def make_once(
    made: np.memmap, make: Callable[[int], None], what: str, parts: Sequence[int] | None = None
) -> None:
    """Make every part, or those named, not yet marked in `made`, shared out to the processes."""
    parts = range(len(made)) if parts is None else parts
    for i in tqdm(here().part(parts), desc=what, disable=not here().first):
        if not made[i]:
            make(i)
            made[i] = True
    here().gather([])  # all are made


def network_files(parser: argparse.ArgumentParser) -> None:
    """Add an option for each network of `Networks`."""
    own = ("generator", "encoder", "perceptual", "judge", "autoencoder", "text", "denoiser")
    for name in (*own, *TASKS):
        parser.add_argument(f"--{name}", type=Path, required=True, help="safetensors")
