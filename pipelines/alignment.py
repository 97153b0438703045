"""Face alignment as FFHQ does it: from a picture with faces to the square that a generator knows.

Stages: `find_faces` (YuNet: Wu, Peng, Yu; Machine Intelligence Research 2023, as OpenCV runs it)
and `align` (Karras, Aila, Laine, Lehtinen; ICLR 2018, Appendix C, which FFHQ took over).

Symbols of Appendix C: x', from the left to the right eye; y', from the mouth to the eyes' midpoint
(here `drop` is -y'); s, the side of the square. "left" is the viewer's. Points are (x, y) in pixel
indices of the upright picture: (0, 0) is the middle of its first pixel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

import weights
from pipelines.images import as_rgb

Points = Float[np.ndarray, "points 2"]
Rows = Float[np.ndarray, "faces 15"]
Detect = Callable[[UInt8[np.ndarray, "h w 3"]], Rows | None]  # BGR -> box, 5 points, score

WEIGHT = "faces/yunet"
CANVAS = 640  # px, the input side that the published detector is built for
# YuNet was trained on faces of 10 to 300 px: a close-up is found when the picture is made small.
LONG_SIDES = (CANVAS, 256)
SCORE, OVERLAP = 0.9, 0.3  # OpenCV's own defaults; boxes overlapping more are one face
LEFT_EYE, RIGHT_EYE, MOUTH_CORNERS = slice(36, 42), slice(42, 48), [48, 54]  # of 68 points
OVERSAMPLING = 4  # the quadrilateral is drawn four times as large, then reduced
BORDER, MARGIN, BLUR = 0.1, 0.3, 0.02  # of s: context kept, mirror's width, blur of the mirror
SIZES = (16, 2048)  # px, output side
SMALLEST = 8  # px, side of the square in the picture
FRAMED = 0.15  # of s: corners nearer than this to the picture's own need no new crop


class NoFace(ValueError):
    """No face was found in a picture."""


class NoFinder(ValueError):
    """The face finder cannot be used: its file is missing or wrong."""


@dataclass(frozen=True)
class Frame:
    """Where a domain wants eyes and mouth: half of s is the larger of two lengths.

    gaps: half of s in eye distances |x'|. drops: half of s in eye-to-mouth distances |y'|.
    lower: from the eyes' midpoint down to the square's centre, in |y'|.
    """

    gaps: float
    drops: float
    lower: float


FFHQ = Frame(gaps=2.0, drops=1.8, lower=0.1)  # c and s of Appendix C
# Measured on the shipped test portraits that show both eyes and the mouth: eyes' midpoint at 0.488,
# mouth at 0.707 of the height. `gaps` is that of faces looking ahead, since yaw shortens |x'|.
# Clay pictures centre the head, alignment the eyes: 0.06 of s apart sideways (one deviation).
CLAY = Frame(gaps=2.05, drops=2.15, lower=0.06)
FRAMES = {"ffhq": FFHQ, "metfaces": FFHQ, "clay-heads": CLAY}


@dataclass(frozen=True, eq=False)
class Face:
    """A found face: YuNet's five points (eyes, nose tip, mouth corners), box (left, top, right,
    bottom) in pixels, and score in [0, 1]."""

    landmarks: Float[np.ndarray, "5 2"]
    box: tuple[float, float, float, float]
    score: float

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass(frozen=True, eq=False)
class Aligned:
    """An aligned crop.

    image: RGB square. quad: its corners in the upright picture: top left, bottom left, bottom
    right, top right. mirrored: the share of the square that lies outside the picture. framed:
    whether the picture was framed so already, with nothing to gain from a crop.
    """

    image: Image.Image
    quad: Float[np.ndarray, "4 2"]
    mirrored: float
    framed: bool

    def place(self, points: Points) -> Points:
        """Points of the upright picture in pixel indices of the crop."""
        origin, down, _, across = self.quad
        axes = np.stack([across - origin, down - origin])
        fractions = (points - origin) @ axes.T / (axes**2).sum(1)
        return fractions * self.image.width - 0.5


def find_faces(image: Image.Image, detect: Detect | None = None) -> list[Face]:
    """The faces of a picture, largest first; raises `NoFace`, `NoFinder`, and as `as_rgb` does.

    `detect` takes a BGR picture of CANVAS px and returns YuNet's rows; by default YuNet itself.
    """
    detect = detect or yunet()
    pixels = np.asarray(as_rgb(image))[..., ::-1]
    faces: list[Face] = []
    for side in LONG_SIDES:
        for face in _found_at(pixels, side, detect):
            if all(_overlap(face, other) < OVERLAP for other in faces):
                faces.append(face)
    if not faces:
        raise NoFace(
            f"image must show a face; got a picture of {image.width} x {image.height} px without "
            "one. Crop it by hand, or choose a picture that shows both eyes and the mouth."
        )
    return sorted(faces, key=lambda face: face.area, reverse=True)


@functools.cache
def yunet() -> Detect:
    """YuNet from the published ONNX file, run by OpenCV; raises `NoFinder` without the file."""
    try:
        path = str(weights.fetch(WEIGHT))
    except weights.WeightsError as error:
        raise NoFinder(str(error)) from error

    def detect(pixels: UInt8[np.ndarray, "h w 3"]) -> Rows | None:
        # A network of its own for each call: OpenCV's are not safe to share between threads.
        size = (pixels.shape[1], pixels.shape[0])
        return cv2.FaceDetectorYN.create(path, "", size, SCORE, OVERLAP).detect(pixels)[1]

    return detect


def frame_of(domain: str) -> Frame:
    """The frame of a domain; ValueError for one without faces."""
    if domain not in FRAMES:
        raise ValueError(
            f"domain must be one of {', '.join(FRAMES)} to align faces; got {domain!r}. "
            "Crop its pictures by hand."
        )
    return FRAMES[domain]


def align(image: Image.Image, landmarks: Points, size: int, frame: Frame = FFHQ) -> Aligned:
    """The oriented square around a face, `size` px (Appendix C); what lies outside is mirrored.

    landmarks: 68 points in the iBUG order, or 5: left eye, right eye, nose tip, left and right
    corner of the mouth. Raises ValueError for other landmarks, and what `as_rgb` raises.
    """
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"size must lie in {SIZES[0]}..{SIZES[1]} px; got {size}. Choose another.")
    picture = as_rgb(image)
    quad = oriented_square(landmarks, frame)
    _check_square(quad, picture.size)
    return Aligned(
        _cut(picture, quad + 0.5, size), quad, _share_outside(quad, picture.size),
        _is_framed(quad, picture.size),
    )  # fmt: skip


def oriented_square(landmarks: Points, frame: Frame = FFHQ) -> Float[np.ndarray, "4 2"]:
    """Corners of the square: top left, bottom left, bottom right, top right (Appendix C)."""
    left, right, mouth = _anchors(np.asarray(landmarks, np.float64))
    eyes, gap = (left + right) / 2, right - left
    drop = mouth - eyes
    # The mean of "along the eyes" and "across the line to the mouth": right for turned heads too.
    across = gap + np.array([drop[1], -drop[0]])
    length = np.hypot(*across)
    if not length > 1e-6:
        raise ValueError(
            "landmarks must show eyes above a mouth; got points that cancel out "
            f"(eye distance {np.hypot(*gap):.3g} px, eyes to mouth {np.hypot(*drop):.3g} px). "
            "Check their order: the viewer's left eye comes first."
        )
    across *= max(frame.gaps * np.hypot(*gap), frame.drops * np.hypot(*drop)) / length
    down = np.array([-across[1], across[0]])
    centre = eyes + frame.lower * drop
    return np.stack(
        [centre - across - down, centre - across + down, centre + across + down,
         centre + across - down]
    )  # fmt: skip


def _anchors(landmarks: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres of the left eye, the right eye and the mouth."""
    if landmarks.shape not in ((5, 2), (68, 2)) or not np.isfinite(landmarks).all():
        raise ValueError(
            f"landmarks must be 5 or 68 finite points (x, y); got shape {landmarks.shape} and "
            f"{(~np.isfinite(landmarks)).sum()} numbers that are not finite. Use find_faces."
        )
    if len(landmarks) == 5:
        return landmarks[0], landmarks[1], landmarks[3:].mean(0)
    left, right = landmarks[LEFT_EYE].mean(0), landmarks[RIGHT_EYE].mean(0)
    return left, right, landmarks[MOUTH_CORNERS].mean(0)


def _check_square(quad: np.ndarray, size: tuple[int, int]) -> None:
    centre, side = quad.mean(0), np.hypot(*(quad[3] - quad[0]))
    if side < SMALLEST:
        raise ValueError(
            f"the square around a face must measure {SMALLEST} px or more; got {side:.1f}. "
            "Use a larger picture of it."
        )
    if not ((centre >= 0) & (centre < size)).all():
        raise ValueError(
            f"landmarks must lie in the picture of {size[0]} x {size[1]} px; got a face around "
            f"({centre[0]:.0f}, {centre[1]:.0f}). Give them in pixels of the upright picture."
        )


def _cut(picture: Image.Image, quad: np.ndarray, size: int) -> Image.Image:
    """The square, antialiased; `quad` in Pillow's coordinates, (0.5, 0.5) the first pixel."""
    picture, quad = _shrunk(picture, quad, size)
    side = float(np.hypot(*(quad[3] - quad[0])))
    picture, quad = _cropped(picture, quad, side)
    picture, quad = _mirrored(picture, quad, side)
    large = picture.transform(
        (size * OVERSAMPLING,) * 2, Image.Transform.QUAD, tuple(quad.ravel()),
        Image.Resampling.BILINEAR,
    )  # fmt: skip
    return large.resize((size, size), Image.Resampling.LANCZOS)


def _shrunk(picture: Image.Image, quad: np.ndarray, size: int) -> tuple[Image.Image, np.ndarray]:
    """The picture reduced by a whole number while the square stays at least twice `size`."""
    shrink = int(np.hypot(*(quad[3] - quad[0])) / size / 2)
    if shrink <= 1:
        return picture, quad
    small = tuple(max(round(side / shrink), 1) for side in picture.size)
    # Departs from FFHQ's script, which divides indices: up to a quarter of an output pixel aside.
    scale = np.array(small) / picture.size
    return picture.resize(small, Image.Resampling.LANCZOS), quad * scale


def _cropped(picture: Image.Image, quad: np.ndarray, side: float) -> tuple[Image.Image, np.ndarray]:
    """The square's surroundings alone, so that mirroring and blurring cost what they must."""
    border = _border(side)
    low = np.maximum(np.floor(quad.min(0)).astype(int) - border, 0)
    high = np.minimum(np.ceil(quad.max(0)).astype(int) + border, picture.size)
    return picture.crop((*low.tolist(), *high.tolist())), quad - low


def _mirrored(
    picture: Image.Image, quad: np.ndarray, side: float
) -> tuple[Image.Image, np.ndarray]:
    """The picture with mirrored surroundings that fade into blur, then into its median colour."""
    border = _border(side)
    before = np.maximum(border - np.floor(quad.min(0)).astype(int), 0)
    after = np.maximum(np.ceil(quad.max(0)).astype(int) - picture.size + border, 0)
    if max(*before, *after) <= border - 4:  # the square itself stays inside
        return picture, quad
    margin = round(side * MARGIN)
    before, after = np.maximum(before, margin), np.maximum(after, margin)
    rows, columns = ((int(before[i]), int(after[i])) for i in (1, 0))
    pixels = np.pad(np.asarray(picture, np.float32), (rows, columns, (0, 0)), "reflect")
    depth = np.maximum(_depth(len(pixels), *rows)[:, None], _depth(pixels.shape[1], *columns))
    depth = depth[..., None].astype(np.float32)  # 1 at the outer edge, 0 at the picture's
    blurred = cv2.GaussianBlur(pixels, (0, 0), max(side * BLUR, 0.1))
    pixels += (blurred - pixels) * np.clip(3 * depth + 1, 0, 1)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * np.clip(depth, 0, 1)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)), quad + before


def _depth(length: int, before: int, after: int) -> np.ndarray:
    """How deep each place lies in its mirror: 1 at the outer edges, 0 at the picture's, then
    negative, as the border's blur reaches a little into the picture."""
    place = np.arange(length)
    return 1 - np.minimum(place / before, place[::-1] / after)


def _border(side: float) -> int:
    return max(round(side * BORDER), 3)


def _share_outside(quad: np.ndarray, size: tuple[int, int], steps: int = 64) -> float:
    """The share of the square outside the picture, from a grid of points."""
    u, v = np.meshgrid(*[(np.arange(steps) + 0.5) / steps] * 2)
    points = quad[0] + u[..., None] * (quad[3] - quad[0]) + v[..., None] * (quad[1] - quad[0])
    return float(((points < -0.5) | (points > np.array(size) - 0.5)).any(-1).mean())


def _is_framed(quad: np.ndarray, size: tuple[int, int]) -> bool:
    right, bottom = np.array(size) - 0.5
    own = np.array([(-0.5, -0.5), (-0.5, bottom), (right, bottom), (right, -0.5)])
    return bool(np.hypot(*(quad - own).T).max() < FRAMED * np.hypot(*(quad[3] - quad[0])))


def _found_at(pixels: np.ndarray, side: int, detect: Detect) -> list[Face]:
    """The faces found when the picture's long side is `side` px, in the picture's pixels."""
    height, width = pixels.shape[:2]
    scale = min(side / max(height, width), 1.0)
    small = (max(round(width * scale), 1), max(round(height * scale), 1))
    canvas = np.zeros((CANVAS, CANVAS, 3), np.uint8)
    canvas[: small[1], : small[0]] = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    rows = detect(canvas)
    scales = np.array(small) / (width, height)
    return [_face(row.astype(np.float64), scales) for row in (() if rows is None else rows)]


def _face(row: np.ndarray, scales: np.ndarray) -> Face:
    low, high = row[:2] / scales, (row[:2] + row[2:4]) / scales
    landmarks = (row[4:14].reshape(5, 2) + 0.5) / scales - 0.5
    return Face(landmarks, (*low.tolist(), *high.tolist()), float(row[14]))


def _overlap(a: Face, b: Face) -> float:
    """Intersection over union of two boxes."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    common = max(width, 0.0) * max(height, 0.0)
    return common / max(a.area + b.area - common, 1e-9)
