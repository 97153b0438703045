"""The encoder E of diffusion-driven GAN inversion: a denoising U-Net, read while it denoises.

Source: Kim et al., "Diffusion-driven GAN Inversion for Multi-Modal Face Image Generation", CVPR
2024, Sec. 3.1, Sec. 3.3 and Fig. 2: one call of a U-Net with its ControlNet gives the features h of
the middle block, f of the decoder blocks and the cross-attention a of their layers. U-Net and
ControlNet are diffusers' own classes, so that Stable Diffusion 1.5 and its ControlNets fit as well.
The figures of the published checkpoints are those of their configurations.

Symbols: z_t, noisy latents; c, states of the prompt's tokens; x, the visual condition as a picture
in [0, 1]; n, a decoder block with cross-attention, K of its cross-attention layers.

Choices where the text leaves one open:
- h is what the decoder reads: the middle block's output with the ControlNet's residual in it.
- f^n are the outputs of the decoder blocks that have cross-attention (three of four in SD 1.5):
  where there is none, there is no A^n to refine it.
- A^n, with as many channels as F^n, is the maximum over the outputs of the block's K cross-
  attention layers; the maps of words, for A-bar and for the eye, are the maximum over the layers'
  and heads' probabilities.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class DiffusionFeatures:
    """What one call of the U-Net holds, beside what it predicts of z_t.

    h: (b, c, height, width) of the middle block; f, a and words: one a decoder block with
    cross-attention, the coarsest first. f: (b, c_n, ...), outputs of the blocks; a: (b, c_n, ...),
    of their cross-attention layers; words: (b, tokens, ...), attention probabilities in [0, 1].
    """

    predicted: Float[Tensor, "b z h w"]
    h: Float[Tensor, "b c h0 w0"] | None  # None where only the prediction was asked for
    f: tuple[Tensor, ...]
    a: tuple[Tensor, ...]
    words: tuple[Tensor, ...]


class DiffusionEncoder(nn.Module):
    """E(z_t, t, x, c): denoising and reading in one call. unet, controlnet: ready modules."""

    def __init__(self, unet: UNet2DConditionModel, controlnet: ControlNetModel) -> None:
        super().__init__()
        self.unet, self.controlnet = unet, controlnet

    def forward(
        self,
        z: Float[Tensor, "b z h w"],
        t: Int[Tensor, "b"] | int,
        states: Float[Tensor, "b tokens d"],
        visual: Float[Tensor, "b 3 height width"],
        strength: float = 1.0,
        read: bool = True,
    ) -> DiffusionFeatures:
        """Features at step t (0 to 999) of latents z.

        strength: of the visual condition. read: False for the prediction alone, as sampling
        needs it.
        """
        residuals, middle = self.controlnet(
            z, t, states, visual, conditioning_scale=strength, return_dict=False
        )
        with listening(self.unet) if read else contextlib.nullcontext() as heard:
            predicted = self.unet(
                z, t, states,
                down_block_additional_residuals=residuals,
                mid_block_additional_residual=middle,
                return_dict=False,
            )[0]  # fmt: skip
        if heard is None:
            return DiffusionFeatures(predicted, None, (), (), ())
        layers = [heard.layers[name] for name in heard.layers]
        return DiffusionFeatures(
            predicted,
            heard.middle + middle,
            tuple(heard.blocks[name] for name in heard.layers),
            tuple(_largest(outputs) for outputs, _ in layers),
            tuple(_largest(maps) for _, maps in layers),
        )


class Heard:
    """What hooks keep of a call: the middle block's output; by name of a decoder block its output
    and, of each of its cross-attention layers, outputs and probabilities (b, h w, ...)."""

    def __init__(self) -> None:
        self.middle: Tensor
        self.blocks: dict[str, Tensor] = {}
        self.layers: dict[str, tuple[list[Tensor], list[Tensor]]] = {}


@contextlib.contextmanager
def listening(unet: UNet2DConditionModel) -> Iterator[Heard]:
    """Keep what the middle and the decoder blocks compute in a call inside of the block.

    The U-Net is left as it was found: its own attention processors, no hook, whatever happens.
    Raises ValueError for a U-Net whose decoder has no cross-attention.
    """
    heard = Heard()
    with contextlib.ExitStack() as undo:

        def keep(place: str, of: nn.Module, _inputs: Any, output: Tensor) -> None:
            if of is unet.mid_block:
                heard.middle = output
            else:
                heard.blocks[place] = output

        for place, block in {"": unet.mid_block, **_crossed(unet)}.items():
            hook = block.register_forward_hook(functools.partial(keep, place))
            undo.callback(hook.remove)
        for place, block in _crossed(unet).items():
            heard.layers[place] = [], []
            for layer in filter(_is_cross_attention, block.modules()):
                undo.callback(layer.set_processor, layer.processor)
                layer.set_processor(Attending(*heard.layers[place]))
        yield heard


def _crossed(unet: UNet2DConditionModel) -> dict[str, nn.Module]:
    """The decoder blocks with cross-attention, by name."""
    crossed = {
        f"up_blocks.{i}": block
        for i, block in enumerate(unet.up_blocks)
        if any(map(_is_cross_attention, block.modules()))
    }
    if not crossed:
        kinds = ", ".join(type(block).__name__ for block in unet.up_blocks)
        raise ValueError(
            "unet must have decoder blocks with cross-attention, such as CrossAttnUpBlock2D; got "
            f"{kinds}. Use a text-to-image one."
        )
    return crossed


def _is_cross_attention(layer: nn.Module) -> bool:
    return getattr(layer, "is_cross_attention", False)


class Attending:
    """Cross-attention that writes its probabilities out, for a layer of a transformer block.

    outputs, maps: lists that a call appends to: the layer's output (b, h w, c) and the largest of
    its heads' probabilities (b, h w, tokens).
    """

    def __init__(self, outputs: list[Tensor], maps: list[Tensor]) -> None:
        self.outputs, self.maps = outputs, maps

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Float[Tensor, "b hw c"],
        encoder_hidden_states: Float[Tensor, "b tokens d"],
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Float[Tensor, "b hw c"]:
        """softmax(Q K^T / sqrt(d)) V, projected; heads as diffusers lays them out."""
        batch, tokens, _ = encoder_hidden_states.shape
        mask = attn.prepare_attention_mask(attention_mask, tokens, batch)
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        probabilities = attn.get_attention_scores(query, key, mask)
        mixed = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        output = attn.to_out[1](attn.to_out[0](mixed)) / attn.rescale_output_factor
        self.outputs.append(output)
        self.maps.append(probabilities.unflatten(0, (batch, -1)).amax(1))
        return output


def _largest(layers: list[Float[Tensor, "b hw c"]]) -> Float[Tensor, "b c h w"]:
    """The maximum over layers, as maps."""
    return torch.stack([_as_map(layer) for layer in layers]).amax(0)


def _as_map(x: Float[Tensor, "b hw c"]) -> Float[Tensor, "b c h w"]:
    """Positions of a square map, row by row, back in their places."""
    side = round(x.shape[1] ** 0.5)
    if side * side != x.shape[1]:
        raise ValueError(f"latents must be square; got maps of {x.shape[1]} positions. Crop them.")
    return x.transpose(1, 2).unflatten(2, (side, side))
