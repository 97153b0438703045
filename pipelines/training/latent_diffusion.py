"""Train the diffusion model of clay portraits in latents, and its ControlNets.

    python -m pipelines.training.latent_diffusion --data DIR --autoencoder FILE --text FILE ...
    python -m pipelines.training.latent_diffusion ... --task mask --denoiser FILE

Latent diffusion (Rombach et al., CVPR 2022, Eq. 3): z_t's velocity (Salimans and Ho, ICLR 2022) is
predicted from z_t, t and the caption, which is written anew at each visit and left empty one time
in ten. At the first step there is noise alone: the velocity is -z_0, and what the words say of it
is all that can be known. With --task, a ControlNet for masks or scribbles beside the frozen
denoiser (Zhang et al., ICCV 2023): a copy of its encoder, whose convolutions into the decoder start
at zero; the caption is left empty every other time, so that the condition alone says enough.

Latents of all portraits are made once and kept in memory: 2 kB each. Held out: the mean squared
error of the velocity, whose variance is 1, at ten steps of each validation portrait; and at the
first one with the caption and with an empty one, which tells what words are read for.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from jaxtyping import Float, Int
from torch import Tensor, nn

import weights
from examples.clay.dataset import ClaySet
from examples.clay.facts import facts
from examples.clay.parts import PALETTE, PART_TO_CLASS
from examples.clay.wording import write
from pipelines.conditions import MASK, SCRIBBLE, strokes
from pipelines.latent_diffusion import SCHEDULE
from pipelines.networks.joint_embedding import JointEmbedding
from pipelines.training.latent_autoencoder import plain
from pipelines.training.loop import Average, Loop, arguments, finish, prefetch, shuffled, to_tensor
from pipelines.training.threads import use_threads

# Of clay portraits, in latents of (4, 16, 16): 6.2 M weights. What diffusers calls the dimension of
# heads is their number.
DENOISER = {
    "sample_size": 16, "block_out_channels": (64, 96, 128), "layers_per_block": 1,
    "norm_num_groups": 16, "attention_head_dim": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip
EMBEDDING = (16, 32, 48, 64)  # channels of a ControlNet's condition, the last at the latents' size
NO_CAPTION = {None: 0.1, MASK: 0.5, SCRIBBLE: 0.5}
FIRST = 0.15  # share of the portraits that are seen at the first step, as noise alone
Network = UNet2DConditionModel | ControlNetModel


@dataclass(frozen=True)
class Batch:
    """Latents of unit variance, their captions, and conditions in [0, 1] where there is a task."""

    z: Float[Tensor, "b 4 h w"]
    captions: list[str]
    visual: Float[Tensor, "b 3 H W"] | None


class Portraits:
    """A rendered set, or some rows of it, as a diffusion model reads it: latents, captions,
    conditions. empty: the share of captions left out, that of the task by default."""

    def __init__(
        self, data: ClaySet, autoencoder: AutoencoderKL, device: torch.device, task: str | None,
        rows: slice = slice(None), empty: float | None = None,
    ) -> None:  # fmt: skip
        self.empty = NO_CAPTION[task] if empty is None else empty
        self.task, self.device, self.autoencoder = task, device, autoencoder.to(device)
        self.images, self.parts = data.images[rows], data.parts[rows]
        self.seeds, self.identities = data.seeds[rows], data.identities[rows]
        self.facts = facts(data.parameters()[rows])

    def __len__(self) -> int:
        return len(self.facts)

    @functools.cached_property
    def z(self) -> Float[Tensor, "n 4 h w"]:
        """Latents of all of them, made when the first ones are asked for."""
        return latents_of(self.images, self.autoencoder, self.device)

    def read(self, rows: np.ndarray, random: np.random.Generator, device: torch.device) -> Batch:
        """A batch; its captions are drawn, empty ones among them."""
        return Batch(self.z[rows].to(device).float(), *self.asked(rows, random, device))

    def asked(
        self, rows: np.ndarray, random: np.random.Generator, device: torch.device
    ) -> tuple[list[str], Float[Tensor, "b 3 H W"] | None]:
        """Captions, drawn, and conditions of some of them."""
        empty = random.random(len(rows)) < self.empty
        captions = [
            "" if bare else write(self.facts[row], random).text
            for row, bare in zip(rows, empty, strict=True)
        ]
        visual = None if self.task is None else self.conditions(rows).to(device)
        return captions, visual

    def conditions(self, rows: np.ndarray) -> Float[Tensor, "b 3 h w"]:
        """Masks in the classes' colours, or scribbles."""
        if self.task == MASK:
            pixels = PALETTE[PART_TO_CLASS[self.parts[rows]]]
        else:
            drawn = np.stack([strokes(picture) for picture in self.images[rows]])
            pixels = np.repeat(drawn[..., None], 3, -1)
        return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def latents_of(
    images: np.ndarray, autoencoder: AutoencoderKL, device: torch.device
) -> Float[Tensor, "n 4 h w"]:
    """The mode of every picture's latents, scaled to unit variance, in half precision."""
    found = []
    for start in range(0, len(images), 64):
        x = to_tensor(images[start : start + 64], device)
        found.append(autoencoder.encode(x).latent_dist.mode().half().cpu())
    return torch.cat(found) * autoencoder.config.scaling_factor


@torch.no_grad()
def quieted(network: UNet2DConditionModel) -> UNet2DConditionModel:
    """Start with branches that add nothing and a prediction of 0 (Dhariwal and Nichol, NeurIPS
    2021), which diffusers' own start leaves out."""
    last = [network.conv_out]
    for layer in network.modules():
        if isinstance(layer, ResnetBlock2D):
            last.append(layer.conv2)
        elif isinstance(layer, Transformer2DModel):
            last.append(layer.proj_out)
    for layer in last:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return network


def train(
    portraits: Portraits, loop: Loop, network: Network, text: JointEmbedding,
    denoiser: UNet2DConditionModel | None, batch: int,
) -> Network:  # fmt: skip
    """Train a denoiser, or a ControlNet beside a frozen one, until the loop ends."""
    assert len(portraits.z) == len(portraits)  # made before the clock runs
    network.to(loop.device, memory_format=torch.channels_last).train()  # 1.3 times faster on a CPU
    if denoiser is not None:
        denoiser.to(loop.device, memory_format=torch.channels_last)
    text.to(loop.device)
    average = Average(network, decay=0.999)
    optimizer = torch.optim.AdamW(network.parameters(), 6e-4, weight_decay=1e-2, fused=True)
    loop.keep(network=network, average=average.network, optimizer=optimizer)
    loop.resume()
    torch.manual_seed(loop.step)
    process = DDIMScheduler(**SCHEDULE)
    for _, given in zip(loop, _batches(portraits, loop, batch), strict=False):
        noise = torch.randn_like(given.z)
        t = steps_drawn(len(noise), portraits.task).to(loop.device)
        with torch.no_grad():
            states, _ = text.context(given.captions)
        loop.anneal(optimizer)
        with loop.autocast():
            noisy = process.add_noise(given.z, noise, t)
            found = predicted(network, denoiser, noisy, t, states, given.visual)
            error = F.mse_loss(found, process.get_velocity(given.z, noise, t))
        optimizer.zero_grad(set_to_none=True)
        error.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average.update(network, loop.step)
        if loop.due(50):
            loop.log(error=error)
    return average.network.eval()


def steps_drawn(count: int, task: str | None) -> Int[Tensor, " n"]:
    """Steps of the process, 0 to 999: the first one, 999, by itself, where everything is asked of
    words and condition; of the others all alike for a denoiser, and the more noise the more often
    for a ControlNet, as a condition says little that a clear picture does not show."""
    last, shares = SCHEDULE["num_train_timesteps"], torch.rand(count)
    t = (last * (shares if task is None else shares.sqrt())).long()
    return torch.where(torch.rand(count) < FIRST, last - 1, t)


@torch.no_grad()
def opened(network: ControlNetModel) -> ControlNetModel:
    """Let the condition in from the first step. Diffusers starts with a zero convolution behind the
    condition and others before the decoder: neither learns until the other has."""
    nn.init.normal_(network.controlnet_cond_embedding.conv_out.weight, std=0.05)
    return network


def predicted(
    network: nn.Module, denoiser: UNet2DConditionModel | None, z: Tensor, t: Tensor,
    states: Tensor, visual: Tensor | None,
) -> Float[Tensor, "b 4 h w"]:  # fmt: skip
    """What a denoiser predicts, or the frozen one with the ControlNet that is trained."""
    if denoiser is None:
        return network(z, t, states, return_dict=False)[0]
    residuals, middle = network(z, t, states, visual, return_dict=False)
    return denoiser(
        z, t, states, down_block_additional_residuals=residuals,
        mid_block_additional_residual=middle, return_dict=False,
    )[0]  # fmt: skip


@torch.no_grad()
def evaluate(
    portraits: Portraits, network: Network, text: JointEmbedding,
    denoiser: UNet2DConditionModel | None, device: torch.device,
) -> dict[str, float]:  # fmt: skip
    """Mean squared error of the velocity at steps 50, 150, ... of each portrait, and at the first
    step with and without its caption."""
    process = DDIMScheduler(**SCHEDULE)
    random, noises = np.random.default_rng(0), torch.Generator().manual_seed(0)
    on_the_way, first, wordless = [], [], []

    def error(given: Batch, captions: list[str], step: int) -> float:
        states, _ = text.context(captions)
        noise = torch.randn(given.z.shape, generator=noises).to(device)
        t = torch.full((len(noise),), step, device=device)
        noisy = process.add_noise(given.z, noise, t)
        found = predicted(network, denoiser, noisy, t, states, given.visual)
        return F.mse_loss(found, process.get_velocity(given.z, noise, t)).item()

    for rows in np.array_split(np.arange(len(portraits)), max(1, len(portraits) // 64)):
        given = portraits.read(rows, random, device)
        on_the_way += [error(given, given.captions, step) for step in range(50, 1000, 100)]
        first.append(error(given, given.captions, 999))
        wordless.append(error(given, [""] * len(rows), 999))
    names = ("velocity error", "at the first step", "at the first step without words")
    means = [round(float(np.mean(errors)), 4) for errors in (on_the_way, first, wordless)]
    return dict(zip(names, means, strict=True))


def _batches(portraits: Portraits, loop: Loop, batch: int) -> Iterator[Batch]:
    random = np.random.default_rng(loop.step)
    rows = shuffled(len(portraits), batch, seed=loop.step)
    return prefetch(portraits.read(row, random, loop.device) for row in rows)


def read() -> argparse.Namespace:
    """The command line; --task and --denoiser belong together."""
    parser = arguments(__doc__.splitlines()[0], minutes=120, batch=32)
    parser.add_argument("--autoencoder", type=Path, required=True, help="safetensors")
    parser.add_argument("--text", type=Path, required=True, help="joint embedding, safetensors")
    parser.add_argument("--task", choices=(MASK, SCRIBBLE), help="train a ControlNet for it")
    parser.add_argument("--denoiser", type=Path, help="safetensors, with --task")
    options = parser.parse_args()
    if (options.task is None) != (options.denoiser is None):
        parser.error("--task must come with --denoiser, and the denoiser with a task; got one.")
    return options


def main() -> None:
    """Run the recipe from the command line."""
    options = read()
    use_threads(options.threads)
    loop = Loop(options.out, options.minutes, options.device)
    torch.manual_seed(0)
    text = weights.load_file(JointEmbedding, options.text)
    denoiser = None
    if options.task:
        denoiser = weights.load_file(UNet2DConditionModel, options.denoiser, loop.device)
        network: Network = opened(
            ControlNetModel.from_unet(denoiser, conditioning_embedding_out_channels=EMBEDDING)
        ).requires_grad_(True)
    else:
        width = text.texts.config.hidden_size
        network = quieted(UNet2DConditionModel(**DENOISER, cross_attention_dim=width))
    if options.start:
        network = weights.load_file(type(network), options.start).requires_grad_(True)
    autoencoder = weights.load_file(AutoencoderKL, options.autoencoder)
    data = ClaySet(options.data)
    portraits = Portraits(data, autoencoder, loop.device, options.task)
    network = train(portraits, loop, network, text, denoiser, options.batch)
    held_out = {}
    if options.validation:
        rendered = ClaySet(options.validation)
        seen = Portraits(rendered, autoencoder, loop.device, options.task, empty=0.0)
        held_out = evaluate(seen, network, text, denoiser, loop.device)
    finish(
        options.out, held_out, network, options.weights, config=plain(network),
        recipe="python -m pipelines.training.latent_diffusion", task=options.task or "none",
        seeds=f"train {data.seeds.min()} to {data.seeds.max()}",
        start=options.start.name if options.start else "nothing", **loop.facts(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
