"""Latent diffusion under a mask or a scribble (Stable Diffusion with its ControlNets), on tensors.

`steps_to` names DDIM's steps down to one, `noise` is what they begin with. What `read` and
`denoise` of diffusion inversion ask of the U-Net on the way stands here, and how latents become a
picture again.

Symbols: c, the prompt; x, the visual condition as a picture; z_t, latents at step t, from T (noise)
to 0; I_0^d, the picture of z_0; E, the encoder (`DiffusionEncoder`), whose U-Net predicts the noise
in z_t.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from pipelines.conditions import Condition
from pipelines.images import as_images
from pipelines.measures import Measured
from pipelines.networks.diffusion_encoder import DiffusionEncoder
from pipelines.runtime import OnStep, Step

STEPS = 20  # of DDIM for I_0^d
# The schedule of Stable Diffusion 1.5, which clay's diffusion model is trained with too.
SCHEDULE = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "clip_sample": False, "set_alpha_to_one": False,
    "steps_offset": 1, "prediction_type": "epsilon",
}  # fmt: skip


def centred(noise: Float[Tensor, "b z h w"]) -> Float[Tensor, "b z h w"]:
    """Noise whose channels have mean 0 in each picture.

    Departs from paper: at its noisiest step the schedule still holds a trace of z_0, so that a mean
    left to chance is taken for the picture's own and decides its colours, against the words: over
    16 x 16 latents it deviates by 1/16, as much as that trace. Over 64 x 64, as in Stable
    Diffusion, it hardly matters.
    """
    return noise - noise.mean((2, 3), keepdim=True)


class Text(Protocol):
    """What reads prompts for cross-attention; `texts` is its network."""

    texts: nn.Module

    def context(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """States (n, tokens, d), of one length whatever the prompts, and which of the tokens are
        words of the prompt, bool (n, tokens)."""

    def words(self, prompt: str) -> list[str]:
        """The words as the network reads them, one for each true place above."""


class LatentDiffusion(Measured):
    """Takes noise to latents of a picture by DDIM, as a prompt and a condition ask.

    autoencoder: its decoder draws latents; encoders: E by task; schedule: of DDIM's steps;
    guidance: by the prompt, 1 for none.
    """

    autoencoder: AutoencoderKL
    encoders: dict[str, DiffusionEncoder]
    text: Text
    schedule: Mapping[str, Any]
    guidance: float

    def steps_to(self, t: int | None, steps: int = STEPS) -> list[int]:
        """DDIM's steps from the first one down to the one that is nearest to t."""
        scheduler = DDIMScheduler(**self.schedule)
        scheduler.set_timesteps(steps)
        way = scheduler.timesteps.tolist()
        if t is None:
            return way[:1]
        if not 0 <= t < self.schedule["num_train_timesteps"]:
            raise ValueError(f"t must lie in 0..999; got {t}. Take None for the first step.")
        nearest = min(range(len(way)), key=lambda i: abs(way[i] - t))
        return way[: nearest + 1]

    def noise(self, seed: int) -> Float[Tensor, "1 z h w"]:
        """z_T of a seed, the same on every device."""
        channels = self.autoencoder.config.latent_channels
        random = torch.Generator().manual_seed(seed)
        z = centred(torch.randn(1, channels, self.side, self.side, generator=random))
        return z.to(self.device)

    @property
    def side(self) -> int:
        """Of the latents."""
        return self._unet.config.sample_size

    @property
    def _unet(self) -> nn.Module:
        return next(iter(self.encoders.values())).unet

    def _encoder(self, condition: Condition) -> DiffusionEncoder:
        if condition.task not in self.encoders:
            known = ", ".join(self.encoders)
            raise ValueError(f"condition must be one of {known}; got a {condition.task}.")
        return self.encoders[condition.task]

    def _visual(self, condition: Condition) -> Float[Tensor, "1 3 h w"]:
        """The condition at the size that ControlNet reads: eight pixels a latent."""
        side = self.side * 2 ** (len(self.autoencoder.config.block_out_channels) - 1)
        return condition.picture(side).to(self.device)

    def _prompted(self, prompt: str) -> tuple[Tensor, Tensor]:
        states, spoken = self.text.context([prompt])
        return states.to(self.device), spoken.to(self.device)

    def _started(self, steps: int, seed: int) -> tuple[DDIMScheduler, Tensor]:
        scheduler = DDIMScheduler(**self.schedule)
        scheduler.set_timesteps(steps)
        return scheduler, self.noise(seed) * scheduler.init_noise_sigma

    def _way(
        self,
        states: Tensor,
        condition: Condition,
        way: list[int],
        seed: int,
        strength: float,
        on_step: OnStep | None,
    ) -> Float[Tensor, "1 z h w"]:
        """Latents after DDIM's steps of `way`; noise for none."""
        scheduler, z = self._started(STEPS, seed)
        for i, t in enumerate(way, 1):
            noise, _ = self._guided(z, t, states, condition, strength)
            z = scheduler.step(noise, t, z).prev_sample
            if on_step and on_step(Step("denoise", i, len(way), None)):
                raise InterruptedError("stopped before the step that was to be read")
        return z

    def _guided(
        self, z: Tensor, t: int, states: Tensor, condition: Condition, strength: float
    ) -> tuple[Float[Tensor, "1 z h w"], int]:
        """The predicted noise, away from that of an empty prompt; and the calls it took."""
        encoder, visual = self._encoder(condition), self._visual(condition)
        noise = encoder(z, t, states, visual, strength, read=False).noise
        if self.guidance == 1:
            return noise, 1
        empty, _ = self._prompted("")
        without = encoder(z, t, empty, visual, strength, read=False).noise
        return without + self.guidance * (noise - without), 2

    def _drawn(self, z: Float[Tensor, "1 z h w"]) -> Image.Image:
        z = z / self.autoencoder.config.scaling_factor
        return as_images(self.autoencoder.decoder(self.autoencoder.post_quant_conv(z)))[0]
