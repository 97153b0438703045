"""Diffusion-driven GAN Inversion for Multi-Modal Face Image Generation (Kim, Oh, Do, Kim, Sohn;
CVPR 2024), in two dimensions.

Stages: `read` (text and a mask or scribble -> codes of a GAN and their picture, by one call of a
denoising U-Net; Secs. 3.1 to 3.3, Eqs. 2 to 5) and `denoise` (what the diffusion model itself makes
of the same inputs, I_0^d, in twenty calls). A style has a T of its own (Sec. 4.4).

Symbols: c, the prompt; x, the visual condition as a picture; z_t, latents at step t, from T (noise)
to 0; E, the encoder (`DiffusionEncoder`); h, f, a, what it reads; M, the mapping network; T, here
`modulation`, AbSMNet; w^m, w^gamma, w^beta, the codes of Eq. 4; I', the picture of Eq. 5.

Nothing of this paper was published but its text. What it leaves open is chosen at the head of the
two network files; here: z_T is noise of the seed, and z_t of a smaller t is what DDIM makes of it
on the way, so that no ground truth is asked for (in training z_t is taken from the same ways). That
way, and what else denoising does with tensors, stands in `latent_diffusion`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import weights
from pipelines.components import PERCEPTUAL, Components
from pipelines.conditions import MASK, SCRIBBLE, Condition
from pipelines.diffusion_codes import DiffusionCodes
from pipelines.images import as_images
from pipelines.latent_diffusion import GUIDANCE, SCHEDULE, STEPS, LatentDiffusion, Text
from pipelines.latents import fingerprint
from pipelines.networks.bisenet import BiSeNet
from pipelines.networks.clip_text import ClipText
from pipelines.networks.diffusion_encoder import DiffusionEncoder, DiffusionFeatures
from pipelines.networks.diffusion_mapping import MappingNetwork, StyleModulation, modulate
from pipelines.networks.edge_annotator import KINDS, EdgeAnnotator
from pipelines.networks.irse import FaceJudge
from pipelines.networks.joint_embedding import JointEmbedding
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.parser import FaceParser
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator
from pipelines.picture_conditions import PictureConditions
from pipelines.runtime import OnStep, Step, stage

TASKS = (MASK, SCRIBBLE)
STYLES = ("bronze", "marble", "watercolour", "drawing")


@dataclass(frozen=True, eq=False)
class Reading:
    """Result of `read`, detached and on the CPU (safe in gr.State): image = G(w).

    mapped, gamma, beta: the codes of Eq. 4. t: the step that was read. words: of the prompt; maps:
    in [0, 1], where the decoder attends to each, the mean of its blocks; average: A-bar; refined:
    mean size of each block's refined features, in units of its largest. calls: of the U-Net.
    """

    w: Float[Tensor, "1 layers dim"]
    mapped: Float[Tensor, "1 layers dim"]
    gamma: Float[Tensor, "1 layers dim"]
    beta: Float[Tensor, "1 layers dim"]
    image: Image.Image
    t: int
    words: tuple[str, ...]
    maps: Float[np.ndarray, "words h w"]
    average: Float[np.ndarray, "h w"]
    refined: Float[np.ndarray, "blocks h w"]
    calls: int
    seconds: float

    @property
    def sizes(self) -> dict[str, list[float]]:
        """Mean absolute size of w^m, w^gamma and w^beta at each layer."""
        codes = {"mapped": self.mapped, "gamma": self.gamma, "beta": self.beta}
        return {name: code[0].abs().mean(-1).tolist() for name, code in codes.items()}


@dataclass(frozen=True, eq=False)
class Denoised:
    """Result of `denoise`: I_0^d, after so many calls of the U-Net; seconds: without those that
    pictures on the way took."""

    image: Image.Image
    calls: int
    seconds: float


class DiffusionInversion(DiffusionCodes, PictureConditions, LatentDiffusion):
    """Reads a diffusion model's features into the codes of a generator.

    generator, autoencoder, encoders (E by task of TASKS), text, mapping, modulation, perceptual and
    judge (or None) are ready modules; ablated: T without attention (Table 2, row b), or None;
    styles: T by name of a style; parser and annotator read masks and strokes of pictures, None
    where nothing does. All are frozen and placed as `Runtime.decide` says for device and offload.
    guidance: of `denoise` by the prompt, 1 for none, which halves the rows of its calls.
    """

    paper = "diffusion_inversion"

    def __init__(
        self,
        generator: Generator,
        autoencoder: AutoencoderKL,
        encoders: Mapping[str, DiffusionEncoder],
        text: Text,
        mapping: MappingNetwork,
        modulation: StyleModulation,
        perceptual: PerceptualDistance,
        judge: PortraitJudge | FaceJudge | None = None,
        ablated: StyleModulation | None = None,
        styles: Mapping[str, StyleModulation] | None = None,
        parser: FaceParser | BiSeNet | None = None,
        annotator: EdgeAnnotator | None = None,
        domain: str = "clay-heads",
        schedule: Mapping[str, Any] = SCHEDULE,
        guidance: float = GUIDANCE,
        device: str | torch.device | None = None,
        offload: bool | str | None = None,
    ):
        self.generator, self.autoencoder, self.encoders = generator, autoencoder, dict(encoders)
        self.text, self.mapping, self.modulation = text, mapping, modulation
        self.perceptual, self.judge, self.domain = perceptual, judge, domain
        self.ablated, self.styles = ablated, dict(styles or {})
        self.parser, self.annotator = parser, annotator
        self.schedule, self.guidance, self.size = dict(schedule), guidance, generator.resolution
        self.fingerprint = fingerprint(generator.synthesis)
        # Not `perceptual` itself: calling `stages` would pass a hook on the whole by.
        distance = (perceptual.lpips.scaling_layer, perceptual.lpips.net)
        # The decoder alone is called: a picture is never encoded here.
        drawing = (autoencoder.post_quant_conv, autoencoder.decoder)
        # The U-Net is one for all tasks, and is placed once.
        denoising = (self._unet, *(encoder.controlnet for encoder in self.encoders.values()))
        mapped = (mapping, modulation, ablated, *self.styles.values())
        networks = (generator.synthesis, *drawing, *denoising, text.texts, *mapped, judge)
        self.place((*networks, *distance, parser, annotator), device, offload, self.size)

    @classmethod
    def arguments(cls, found: Components) -> dict[str, Any]:
        """What the constructor takes of a domain; `WeightsError` says all that it lacks there."""
        if found.lacking:
            raise weights.WeightsError(found.lacking)
        unet = found.network({"denoiser": UNet2DConditionModel})
        controlled = {
            task: DiffusionEncoder(unet, found.network({f"controlnet-{task}": ControlNetModel}))
            for task in TASKS
        }
        styles = {name: found.network({f"style-{name}": StyleModulation}) for name in STYLES}
        clay = found.domain == "clay-heads"
        return {
            "generator": found.network({"generator": Generator}),
            "autoencoder": found.network({"latent-autoencoder": AutoencoderKL}),
            "encoders": controlled,
            "text": found.network({"joint-embedding": JointEmbedding}),
            "mapping": found.network({"diffusion-mapping": MappingNetwork}),
            "modulation": found.network({"diffusion-modulation": StyleModulation}),
            "perceptual": found.network(PERCEPTUAL),
            "judge": found.judge(),
            "ablated": found.network({"diffusion-modulation-plain": StyleModulation}),
            "styles": {name: net for name, net in styles.items() if net is not None},
            "parser": found.network({"parser": FaceParser if clay else BiSeNet}),
            "annotator": found.network(dict.fromkeys(KINDS, EdgeAnnotator)),
            "domain": found.domain,
        }

    @classmethod
    def from_stable_diffusion(
        cls, base: str, controlnets: Mapping[str, str], **networks: Any
    ) -> DiffusionInversion:
        """The method with a Stable Diffusion and its ControlNets, by id on the Hub or by folder.

        base: such as "stable-diffusion-v1-5/stable-diffusion-v1-5"; controlnets: an id for each
        task; networks: the other arguments of the constructor, M and T trained for this pair.
        """
        unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet")
        schedule = DDIMScheduler.from_pretrained(base, subfolder="scheduler").config
        return cls(
            autoencoder=AutoencoderKL.from_pretrained(base, subfolder="vae"),
            encoders={
                task: DiffusionEncoder(unet, ControlNetModel.from_pretrained(name))
                for task, name in controlnets.items()
            },
            text=ClipText.from_pretrained(base),
            schedule={key: schedule[key] for key in SCHEDULE},
            **networks,
        )

    # ---- stages on pictures ----------------------------------------------------------------------

    @stage
    def read(
        self,
        prompt: str,
        condition: Condition,
        *,
        t: int | None = None,
        seed: int = 0,
        strength: float = 1.0,
        attentive: bool = True,
        style: str | None = None,
        on_step: OnStep | None = None,
    ) -> Reading:
        """Codes of a prompt and a mask or scribble, and their picture (Eqs. 2 to 5).

        t: the step to read at, 0 to 999, None for the first one: a smaller one asks for the steps
        before it too, and is rounded to one of theirs. strength: of the condition, 0 to 2.
        attentive: False for the T of row (b). style: one of `styles`, whose T is taken (Sec. 4.4).
        Raises ValueError for what is out of range and for a T that is not there.
        """
        start = time.perf_counter()
        _check(prompt, seed, strength)
        modulation = self._modulation(attentive, style)
        states, spoken = self._prompted(prompt)
        way = self.steps_to(t)
        z = self._way(states, condition, way[:-1], seed, strength, on_step)
        found = self._encoder(condition)(z, way[-1], states, self._visual(condition), strength)
        mapped, gamma, beta = self.codes(found, spoken, way[-1], modulation)
        w = modulate(mapped, gamma, beta)
        maps, average, refined = self._inside(found, spoken, modulation)
        image = as_images(self.runtime.picture(self.generator.synthesis, w))[0]
        return Reading(
            *(code.cpu() for code in (w, mapped, gamma, beta)), image, way[-1],
            tuple(self.text.words(prompt)), maps, average, refined, len(way),
            time.perf_counter() - start,
        )  # fmt: skip

    @stage
    def denoise(
        self,
        prompt: str,
        condition: Condition,
        *,
        steps: int = STEPS,
        seed: int = 0,
        strength: float = 1.0,
        image_every: int = 5,
        on_step: OnStep | None = None,
    ) -> Denoised:
        """I_0^d: what ControlNet itself draws of the same inputs and the same noise.

        steps: 1 to 200; on_step may return True to stop with the picture so far, and is handed
        what the latents show every `image_every` steps.
        """
        start = time.perf_counter()
        _check(prompt, seed, strength)
        if not 1 <= steps <= 200:
            raise ValueError(f"steps must lie in 1..200; got {steps}. Take {STEPS}.")
        scheduler, z = self._started(steps, seed)
        predict = self._guide(self._prompted(prompt)[0], condition, strength)
        calls, showing = 0, 0.0
        for i, t in enumerate(scheduler.timesteps.tolist(), 1):
            out = scheduler.step(predict(z, t), t, z)
            z, calls = out.prev_sample, i
            # What is shown on the way is no part of the method's own time.
            looked = time.perf_counter()
            shown = on_step and i % image_every == 0
            pictures = [self._drawn(out.pred_original_sample)] if shown else None
            stop = on_step and on_step(Step("denoise", i, steps, None, pictures))
            showing += time.perf_counter() - looked
            if stop:
                z = out.pred_original_sample
                break
        return Denoised(self._drawn(z), calls, time.perf_counter() - start - showing)

    @stage
    def redraw(self, reading: Reading, *, mapped_only: bool = False, keep: float = 1.0) -> Reading:
        """The picture of a reading's codes in another mixture: Fig. 8 as a switch and as a slider.

        mapped_only: of w^m alone. keep: how much of the modulation counts, 0 (w^m) to 1 (w).
        """
        if not 0 <= keep <= 1:
            raise ValueError(f"keep must lie in 0..1; got {keep}. Take 1 for all of it.")
        share = 0.0 if mapped_only else keep
        w = reading.mapped + share * (reading.w - reading.mapped)
        image = as_images(self.runtime.picture(self.generator.synthesis, w.to(self.device)))[0]
        return replace(reading, w=w, image=image)

    # ---- the method on tensors -------------------------------------------------------------------

    def codes(
        self,
        found: DiffusionFeatures,
        spoken: Bool[Tensor, "b tokens"],
        t: int | Tensor,
        modulation: StyleModulation | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """w^m (Eq. 2), w^gamma and w^beta (Sec. 3.3) of what E read at step t."""
        steps = torch.as_tensor(t, device=found.h.device).float().expand(len(found.h))
        modulation = self.modulation if modulation is None else modulation
        return self.mapping(found.h), *modulation(found.f, found.a, found.words, spoken, steps)

    # ---- small steps -----------------------------------------------------------------------------

    def _modulation(self, attentive: bool, style: str | None) -> StyleModulation:
        """The T to read with."""
        if style is not None and style not in self.styles:
            known = ", ".join(self.styles) or "none"
            raise ValueError(f"style must be one of {known}; got {style!r}. Choose one.")
        if not attentive and self.ablated is None:
            raise ValueError("attentive=False must have its own T; got none in this domain.")
        if style is not None:
            return self.styles[style]
        return self.modulation if attentive else self.ablated

    def _inside(
        self, found: DiffusionFeatures, spoken: Tensor, modulation: StyleModulation
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What Figs. 3 and 4 show: maps of words, A-bar, size of each block's refined features."""
        side = (modulation.side,) * 2
        words = torch.stack([F.interpolate(x, side, mode="bilinear") for x in found.words]).mean(0)
        refined, _, average = modulation.refine(found.f, found.a, found.words, spoken)
        sizes = [x.abs().mean(1) for x in refined.split([x.shape[1] for x in found.f], 1)]
        blocks = torch.cat(sizes)
        blocks = blocks / blocks.amax((1, 2), keepdim=True).clamp(min=1e-9)
        shown = words[0][spoken[0]], average[0, 0], blocks
        return tuple(x.cpu().numpy() for x in shown)


def _check(prompt: Any, seed: Any, strength: float) -> None:
    if not isinstance(prompt, str):
        raise TypeError(f"prompt must be text; got {type(prompt).__name__}. Write a caption.")
    if not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number from 0; got {seed!r}. Take 0.")
    if not 0 <= strength <= 2:  # NaN fails this too
        raise ValueError(f"strength must lie in 0..2; got {strength}. Take 1.")
