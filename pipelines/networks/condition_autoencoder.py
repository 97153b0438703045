"""Autoencoders of spatial conditions, masks and sketches, whose codes are 512 numbers.

Source: Meng, Tzelepis, Patras, Tzimiropoulos, "MM2Latent" (2024), Sec. 3.1, Eqs. 3 to 5. Layout of
the published code: five blocks of a 3x3 convolution, LeakyReLU, a 2x2 convolution of stride 2 and
LeakyReLU, 16-32-32-16-8 channels, from 256 px to 8 x 8 x 8; the decoder mirrors them with
transposed convolutions. A mask enters as one grey channel, class index x 10 of 255.

Symbols: x, a condition; f = F(x), its code; D, the decoder; x^ = D(f).

Departs from paper: below 256 px the last blocks keep their resolution (a 3x3 convolution of stride
1 in place of the 2x2 of stride 2), so that 128 px give 8 x 8 x 8 = 512 numbers too.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

KINDS = ("mask", "sketch")
WIDTHS = (16, 32, 32, 16, 8)
GRID = 8  # cells along one side of a code
CLASSES = 19
GREY = 10 / 255  # of one class


class ConditionAutoencoder(nn.Module, PyTorchModelHubMixin):
    """F and D of one kind of condition. `encoder` and `decoder` are modules: call them as such.

    kind: one of KINDS. resolution: side that conditions are brought to [px], a power of two from 8
    to 256. widths: channels of the blocks. one_hot: a channel a class and a softmax instead of one
    grey channel, in which neighbouring classes differ by 4 % of the range.
    """

    def __init__(
        self,
        kind: str = "mask",
        resolution: int = 128,
        widths: Sequence[int] = WIDTHS,
        one_hot: bool = False,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}.")
        if one_hot and kind != "mask":
            raise ValueError(f"one_hot must be of a mask; got a {kind}. Leave it out.")
        halvings = (resolution // GRID).bit_length() - 1
        if resolution != GRID << halvings or halvings > len(widths):
            largest = GRID << len(widths)
            raise ValueError(
                f"resolution must be a power of two from {GRID} to {largest}; got {resolution}. "
                f"Larger domains take {largest}."
            )
        self.kind, self.resolution, self.one_hot = kind, resolution, one_hot
        self.size = GRID * GRID * widths[-1]
        channels = CLASSES if one_hot else 1
        self.encoder = nn.Sequential(
            *(
                _block(a, b, halve=index < halvings)
                for index, (a, b) in enumerate(itertools.pairwise((channels, *widths)))
            )
        )
        back = (*reversed(widths), channels)
        layers: list[nn.Module] = []
        for index, (a, b) in enumerate(itertools.pairwise(back)):
            layers += [_raise(a, b, double=index >= len(widths) - halvings), nn.LeakyReLU()]
        self.decoder = nn.Sequential(*layers[:-1])

    def seen(self, x: Float[Tensor, "b h w"]) -> Float[Tensor, "b c r r"]:
        """Conditions as the encoder reads them, c channels in [0, 1].

        x: class numbers of a mask, or a sketch, 1 on its lines, square and of any size. Lines stay
        whole where a sketch shrinks.
        """
        x = x[:, None].float()
        if self.kind == "sketch" and x.shape[-1] > self.resolution:
            return F.adaptive_max_pool2d(x, self.resolution)
        x = F.interpolate(x, size=(self.resolution,) * 2, mode="nearest")
        if self.one_hot:
            return F.one_hot(x[:, 0].long(), CLASSES).permute(0, 3, 1, 2).float()
        return x * GREY if self.kind == "mask" else x

    def encode(self, x: Float[Tensor, "b h w"]) -> Float[Tensor, "b size"]:
        """f of conditions as `seen` takes them."""
        return self.encoder(self.seen(x)).flatten(1).float()

    def logits(self, seen: Float[Tensor, "b c r r"]) -> Float[Tensor, "b c r r"]:
        """What D gives before its sigmoid or softmax."""
        return self.decoder(self.encoder(seen)).float()

    def loss(self, seen: Float[Tensor, "b c r r"]) -> Float[Tensor, ""]:
        """Eq. 4 of masks, Eq. 5 of sketches, a mean over pixels; cross-entropy with one_hot."""
        found = self.logits(seen)
        if self.one_hot:
            return F.cross_entropy(found, seen.argmax(1))
        if self.kind == "sketch":
            return F.binary_cross_entropy_with_logits(found, seen)
        return F.mse_loss(found.sigmoid(), seen)

    def forward(self, x: Float[Tensor, "b h w"]) -> Float[Tensor, "b r r"]:
        """x^: the nearest class of each pixel of a mask, or how likely a line of a sketch is."""
        found = self.logits(self.seen(x))
        if self.one_hot:
            return found.argmax(1).float()
        if self.kind == "sketch":
            return found[:, 0].sigmoid()
        return (found[:, 0].sigmoid() / GREY).round().clamp(0, CLASSES - 1)


def _block(inputs: int, outputs: int, halve: bool) -> nn.Sequential:
    second = (
        nn.Conv2d(outputs, outputs, 2, stride=2)
        if halve
        else nn.Conv2d(outputs, outputs, 3, padding=1)
    )
    first = nn.Conv2d(inputs, outputs, 3, padding=1)
    return nn.Sequential(first, nn.LeakyReLU(), second, nn.LeakyReLU())


def _raise(inputs: int, outputs: int, double: bool) -> nn.ConvTranspose2d:
    step = 2 if double else 1
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=step, padding=1, output_padding=step - 1)
