"""One clay portrait with everything that is known about it.

    portrait(2_000_000)                               a test portrait, 128 x 128
    portrait(2_000_000, camera=(20, 0, 0))            the same one from its left
    portrait(2_000_001, identity=2_000_000)           the same face, everything else redrawn
    portrait(2_000_000, glasses="round", age=0.9)     any parameter by name
    portrait(2_000_000, prop="mug")                   something that no generator has seen
    portrait(2_000_000, prop="none")                  the truth behind it, other arguments equal

World axes are EG3D's: the face looks along +z, y is up, the camera's own axes are x right, y down,
z forward, and the camera stands 2.7 from the origin.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from examples.clay.captions import attributes, captions
from examples.clay.parameters import EXPRESSION, INDEX, POSE, PROPS, SHAPE, draw, latent

SMALLEST, LARGEST = 16, 1024
MAX_SEED = 2**32 - 1


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture and its ground truth; arrays are uint8 (pictures) or float32 (vectors)."""

    seed: int
    identity: int  # the seed that gave face shape, skin tone and eye colour
    image: np.ndarray  # (size, size, 3) RGB
    parts: np.ndarray  # (size, size) index into parts.PARTS, background where a prop is
    mask: np.ndarray  # (size, size) the 19 face-parsing classes, parts.CLASSES
    sketch: np.ndarray  # (size, size) white lines on black
    caption: str
    paraphrases: tuple[str, str, str]
    attributes: dict[str, object]
    parameters: np.ndarray  # (97,) parameters.NAMES
    shape: np.ndarray  # (20,) parameters.SHAPE, standard deviations
    expression: np.ndarray  # (10,) parameters.EXPRESSION
    pose: np.ndarray  # (3,) yaw, pitch, roll in degrees
    camera: np.ndarray  # (25,) cam2world 4x4 row by row, then intrinsics 3x3
    latent: np.ndarray  # (512,) z
    prop: str  # what is before the face, one of parameters.PROPS
    prop_mask: np.ndarray  # (size, size) bool, where it is seen; its shadow is outside


def portrait(
    seed: int,
    size: int = 128,
    *,
    identity: int | None = None,
    expression: str | Sequence[float] | None = None,
    camera: Sequence[float] | None = None,
    **overrides: object,
) -> Portrait:
    """The portrait of a seed (parameters.SEEDS), `size` pixels square; ValueError on bad input.

    identity: another seed whose face is taken. expression: a name in parameters.EXPRESSIONS, or 10
    numbers in the order of parameters.EXPRESSION. camera: yaw, pitch, roll in degrees, or another
    portrait's 25 camera numbers. overrides: any of parameters.NAMES, choices by name.
    """
    from examples.clay.parts import PART_TO_CLASS, PROP
    from examples.clay.render import camera as camera_of
    from examples.clay.render import render  # here, so that importing the package stays light

    seed = _integer("seed", seed, 0, MAX_SEED)
    identity = seed if identity is None else _integer("identity", identity, 0, MAX_SEED)
    size = _integer("size", size, SMALLEST, LARGEST)
    fixed = _merge(_expression_overrides(expression), _camera_overrides(camera), overrides)
    z = latent(seed, identity)
    p = draw(z, fixed)
    images, parts = render(p[None], size)
    image, parts = np.asarray(images[0]), np.asarray(parts[0])
    prop_mask = parts == PROP
    parts[prop_mask] = 0  # a prop is nobody's part and nobody's class
    mask = PART_TO_CLASS[parts]
    words = attributes(p)
    caption, *paraphrases = captions(words)
    return Portrait(
        seed=seed,
        identity=identity,
        image=image,
        parts=parts,
        mask=mask,
        sketch=draw_sketch(image, mask),
        caption=caption,
        paraphrases=tuple(paraphrases),
        attributes=words,
        parameters=p,
        shape=_take(p, SHAPE),
        expression=_take(p, EXPRESSION),
        pose=_take(p, POSE),
        camera=np.asarray(camera_of(p), np.float32),
        latent=z,
        prop=PROPS[int(p[INDEX["prop"]])],
        prop_mask=prop_mask,
    )


def draw_sketch(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Line drawing, uint8 (H, W), 255 on lines, of an RGB picture and its 19-class mask.

    The outlines of the classes and the Canny edges inside the head; the backdrop is left out.
    """
    import cv2

    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), len(image) / 180)
    edges = cv2.Canny(grey, 40, 100)
    inside = cv2.erode((mask > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    outline = np.zeros_like(mask, dtype=bool)
    outline[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    outline[:-1] |= mask[:-1] != mask[1:]
    near = cv2.dilate(outline.astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.where(outline | ((edges > 0) & (inside > 0) & (near == 0)), 255, 0).astype(np.uint8)


def pose_of(camera: Sequence[float]) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of 25 camera numbers; undoes render.camera."""
    pose = np.asarray(camera, np.float64)[:16].reshape(4, 4)
    rotation = pose[:3, :3]
    if not np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-3):
        raise ValueError(
            "camera must start with a 4x4 camera-to-world matrix whose 3x3 part is a rotation; "
            f"got {np.round(rotation, 3).tolist()}. Use the camera of a Portrait."
        )
    right, _, forward = rotation.T
    yaw = np.arctan2(-forward[0], -forward[2])
    pitch = np.arcsin(np.clip(-forward[1], -1, 1))
    level = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])  # where x points without roll
    roll = np.arctan2(right @ np.cross(level, forward), right @ level)
    return tuple(float(angle) for angle in np.degrees([yaw, pitch, roll]))


def _expression_overrides(expression: str | Sequence[float] | None) -> dict[str, object]:
    if expression is None:
        return {}
    if isinstance(expression, str):
        return {"expression": expression}
    numbers = _numbers("expression", expression, (len(EXPRESSION),), "a name or 10 numbers")
    return dict(zip(EXPRESSION, numbers, strict=True))


def _camera_overrides(camera: Sequence[float] | None) -> dict[str, object]:
    if camera is None:
        return {}
    numbers = _numbers("camera", camera, (3, 25), "3 degrees (yaw, pitch, roll) or 25 numbers")
    return dict(zip(POSE, numbers if len(numbers) == 3 else pose_of(numbers), strict=True))


def _numbers(name: str, value: object, lengths: tuple[int, ...], wanted: str) -> list[float]:
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be {wanted}; got {value!r}.") from None
    if numbers.ndim != 1 or len(numbers) not in lengths or not np.isfinite(numbers).all():
        raise ValueError(
            f"{name} must be {wanted}; got shape {numbers.shape}. "
            "Pass a flat list of finite numbers."
        )
    return numbers.tolist()


def _merge(*given: dict[str, object]) -> dict[str, object]:
    fixed: dict[str, object] = {}
    for overrides in given:
        for name in fixed.keys() & overrides.keys():
            raise ValueError(f"{name} must be given once; got two values. Drop one of them.")
        fixed.update(overrides)
    return fixed


def _integer(name: str, value: object, low: int, high: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise ValueError(
            f"{name} must be a whole number; got {type(value).__name__} {value!r}. Pass an int."
        )
    if not low <= number <= high:
        raise ValueError(f"{name} must lie in {low}..{high}; got {number}. Choose one in between.")
    return number


def _take(p: np.ndarray, names: Sequence[str]) -> np.ndarray:
    return p[[INDEX[name] for name in names]]
