"""Portraits in another style: cast in bronze, cut from marble, in watercolour, drawn in ink.

Bronze and marble are the renderer's own shading of the same figure in one material; watercolour and
drawing are made of its picture: colours flow within its edges, or its edges and shadows alone stay.
The person, pose and light are those of the portrait, so that a style has a true answer too.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from examples.clay.figure import linear

# A material: its colour (sRGB), and how bright each coloured thing is of it.
MATERIALS = {"bronze": (168, 112, 62), "marble": (226, 221, 211)}
SHADES = {
    "skin": 1.0, "lip": 0.8, "hair": 0.62, "brow": 0.55, "eyec": 0.5, "cloth": 0.8, "frame": 0.45,
    "hatc": 0.7, "jewel": 1.0,
}  # fmt: skip
PAINTED = ("freckles", "flush")  # what is colour alone, and no shape
STYLES = (*MATERIALS, "watercolour", "drawing")
PAPER, INK = (244, 240, 230), (38, 34, 44)


def styled(
    parameters: Float[np.ndarray, "n 97"], style: str, size: int = 128
) -> UInt8[np.ndarray, "n size size 3"]:
    """Pictures of portraits in one of STYLES; raises ValueError for another."""
    from examples.clay.render import render

    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}; got {style!r}. Choose one.")
    if style in MATERIALS:
        return render(parameters, size, material=style)[0]
    paint = watercolour if style == "watercolour" else drawing
    return np.stack([paint(picture) for picture in render(parameters, size)[0]])


def cover(table: np.ndarray, material: str) -> np.ndarray:
    """Records of figures, all of one of MATERIALS: what is only painted on is left out."""
    table, base = table.copy(), linear(np.array(MATERIALS[material]) / 255)
    for name, shade in SHADES.items():
        for channel, value in zip("rgb", base * shade, strict=True):
            table[f"{name}_{channel}"] = value
    for name in PAINTED:
        table[name] = 0.0
    return table


def watercolour(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Flat washes that end at edges, paler than the picture, with darker rims, on warm paper."""
    side = picture.shape[0]
    wash = cv2.edgePreservingFilter(picture, sigma_s=0.12 * side, sigma_r=0.45)
    grey = cv2.cvtColor(wash, cv2.COLOR_RGB2GRAY).astype(np.float32)
    rim = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), side / 90))
    paper = np.array(PAPER, np.float32) / 255
    pigment = 0.25 + 0.75 * wash / 255.0
    painted = paper * pigment * (1 - 0.012 * np.clip(rim, 0, 30))[..., None]
    return (255 * painted.clip(0, 1)).round().astype(np.uint8)


def drawing(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Ink on paper: lines where brightness changes fast, hatching in two directions in shadow."""
    side = picture.shape[0]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine, wide = (cv2.GaussianBlur(grey, (0, 0), s * side / 128) for s in (0.8, 1.6))
    lines = np.clip((0.985 * wide - fine) / 6, 0, 1)
    y, x = np.mgrid[:side, :side] * (128 / side)
    shadow = cv2.GaussianBlur(grey, (0, 0), 1.5 * side / 128)
    hatched = np.clip((105 - shadow) / 60, 0, 1) * (np.sin((x + y) * 1.4) > 0.2)
    crossed = np.clip((60 - shadow) / 40, 0, 1) * (np.sin((x - y) * 1.4) > 0.2)
    ink = np.clip(lines + 0.45 * hatched + 0.45 * crossed, 0, 1)[..., None]
    return (np.array(PAPER) * (1 - ink) + np.array(INK) * ink).round().astype(np.uint8)
