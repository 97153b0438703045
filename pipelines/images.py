"""Between pictures of any kind and tensors: the one place that checks what a visitor brings.

Conventions: a tensor holds RGB in [-1, 1], (batch, 3, height, width); a PIL image holds bytes.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

SMALLEST, LARGEST = 32, 8192  # accepted side of a picture [px]
MODES = ("1", "L", "P", "RGB", "RGBA", "RGBX", "LA", "PA", "La", "RGBa", "CMYK", "YCbCr", "HSV")


def as_tensor(image: Image.Image, size: int) -> Float[Tensor, "1 3 size size"]:
    """A picture, centre-cropped to a square of `size` pixels, in [-1, 1]; errors as `as_rgb`."""
    square = ImageOps.fit(as_rgb(image), (size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 127.5 - 1


def as_images(x: Float[Tensor, "b 3 h w"]) -> list[Image.Image]:
    """Pictures in [-1, 1], clipped, as PIL images."""
    pixels = ((x.detach().clamp(-1, 1) + 1) * 127.5).round().byte()
    return [Image.fromarray(picture) for picture in pixels.permute(0, 2, 3, 1).cpu().numpy()]


def box_mask(box: tuple[float, float, float, float], size: int) -> Float[Tensor, "1 1 size size"]:
    """1 inside a box, 0 outside.

    box: left, top, right, bottom as fractions of a square of `size` pixels. Raises ValueError
    for a box that is not inside it or covers no pixel.
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):  # NaN fails this too
        raise ValueError(
            "box must be fractions 0 <= left < right <= 1 and 0 <= top < bottom <= 1; "
            f"got {tuple(box)}. Draw it inside the picture."
        )
    columns = (round(left * size), round(right * size))
    rows = (round(top * size), round(bottom * size))
    mask = torch.zeros(1, 1, size, size)
    mask[..., slice(*rows), slice(*columns)] = 1
    if not mask.any():
        raise ValueError(
            f"box must cover at least one pixel of {size}; got {tuple(box)}. Enlarge it."
        )
    return mask


def as_rgb(image: Image.Image) -> Image.Image:
    """Any ordinary picture, upright, as RGB; transparency becomes white, a film its first frame.

    16 bits are scaled to 8. Raises TypeError unless `image` is a PIL image; ValueError for a side
    outside 32 to 8192 px, a damaged file, or a mode that has no meaning as a picture.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(f"image must be a PIL image; got {type(image).__name__}. Use Image.open.")
    if not SMALLEST <= min(image.size) <= max(image.size) <= LARGEST:
        raise ValueError(
            f"image must have {SMALLEST} to {LARGEST} px on each side; got {image.width} x "
            f"{image.height}. Resize it or choose another."
        )
    image = _first_frame(image)
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.mode not in MODES:
        raise ValueError(
            f"image must be RGB; got mode {image.mode}. Convert it with image.convert('RGB')."
        )
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _first_frame(image: Image.Image) -> Image.Image:
    """The decoded picture, turned as its camera says."""
    try:
        if getattr(image, "n_frames", 1) > 1:
            image.seek(0)
        return ImageOps.exif_transpose(image)
    except (OSError, EOFError, SyntaxError) as error:
        raise ValueError(
            f"image must be a whole file; got an error: {error}. Save it again."
        ) from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 bits; 0 to 65535 becomes 0 to 255."""
    values = np.asarray(image).astype(np.float64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(
            f"image of mode {image.mode} must hold 0 to 65535; got {values.min():g} to "
            f"{values.max():g}. Scale it to 8 bits first."
        )
    return Image.fromarray((values / 257).round().astype(np.uint8))
