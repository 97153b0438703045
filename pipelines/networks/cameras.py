"""Cameras of EG3D: a pose and a lens written as 25 numbers.

Source: Chan et al., "Efficient Geometry-aware 3D Generative Adversarial Networks" (CVPR 2022),
Sec. 4.3; conventions and constants are those of the published FFHQ model.

A camera `c` is (batch, 25): the 4 x 4 matrix from camera to world, row by row, then the 3 x 3
intrinsics, row by row, in units of the picture's side. World: y up, the face at the origin looks
along +z. Camera: x right, y down, z forward. Lengths are in the units of the tri-plane box, whose
side is 1; angles are in radians.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

NUMBERS = 25
PIVOT = (0.0, 0.0, 0.2)  # what FFHQ cameras look at
RADIUS = 2.7  # mean distance of FFHQ cameras from the origin
FOCAL = 4.2647  # of every FFHQ camera, in picture sides: 18.83 degrees across the diagonal
EDGE = 1e-5  # angle to the poles that a pose keeps


def focal_length(degrees: int | float) -> float:
    """Focal length in picture sides of a field of view across the picture's diagonal."""
    if not 0 < degrees < 180:
        raise ValueError(f"field of view must be 0 to 180 degrees; got {degrees}. Try 18.83.")
    # 3.14159 and 1.414 as published: exact constants would change the focal length by 0.0006.
    return 1 / (math.tan(degrees * 3.14159 / 360) * 1.414)


def intrinsics(focal: int | float = FOCAL) -> Float[Tensor, "3 3"]:
    """A lens whose principal point is the centre of the picture."""
    return torch.tensor([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]], dtype=torch.float32)


def look_at(
    yaw: Float[Tensor, " n"],
    pitch: Float[Tensor, " n"],
    pivot: tuple[float, float, float] = PIVOT,
    radius: int | float = RADIUS,
) -> Float[Tensor, "n 4 4"]:
    """Camera-to-world matrices of upright cameras around the origin that look at `pivot`.

    yaw: 0 in front of the face, positive towards its left (+x). pitch: 0 level, negative above.
    Equal steps of pitch are equal steps of height, 2 radius / pi a radian, as published.
    """
    height = -2 / math.pi * pitch.clamp(EDGE - math.pi / 2, math.pi / 2 - EDGE)
    level = (1 - height.square()).sqrt()
    origin = radius * torch.stack([level * yaw.sin(), height, level * yaw.cos()], dim=1)
    forward = F.normalize(origin.new_tensor(pivot) - origin, dim=1)
    up = origin.new_tensor((0.0, 1.0, 0.0)).expand_as(forward)
    right = F.normalize(torch.linalg.cross(forward, up), dim=1)
    down = torch.linalg.cross(forward, right)
    upper = torch.stack([right, down, forward, origin], dim=2)
    last = origin.new_tensor((0.0, 0.0, 0.0, 1.0)).expand(len(origin), 1, 4)
    return torch.cat([upper, last], dim=1)


def as_camera(
    pose: Float[Tensor, "n 4 4"], lens: Float[Tensor, "3 3"] | None = None
) -> Float[Tensor, "n 25"]:
    """The 25 numbers of poses that share a lens, FFHQ's by default."""
    lens = intrinsics() if lens is None else lens
    return torch.cat([pose.flatten(1), lens.to(pose).flatten().expand(len(pose), 9)], dim=1)


def camera(yaw: int | float = 0.0, pitch: int | float = 0.0) -> Float[Tensor, "1 25"]:
    """An FFHQ camera; without arguments the frontal one, on which mapping is conditioned."""
    return as_camera(look_at(torch.tensor([float(yaw)]), torch.tensor([float(pitch)])))


def orbit(
    frames: int, yaw: int | float = 0.35, pitch: int | float = 0.25, level: int | float = -0.05
) -> Float[Tensor, "frames 25"]:
    """FFHQ cameras once around an ellipse of half axes `yaw` and `pitch` about (0, level)."""
    if frames < 1:
        raise ValueError(f"frames must be at least 1; got {frames}. Ask for about 60 a turn.")
    turn = 2 * math.pi * torch.arange(frames) / frames
    return as_camera(look_at(yaw * turn.sin(), level + pitch * turn.cos()))


def check(c: Tensor) -> None:
    """Raise ValueError unless `c` is (batch, 25)."""
    if c.ndim != 2 or c.shape[1] != NUMBERS:
        raise ValueError(
            f"c must be (batch, {NUMBERS}): 16 of camera-to-world, 9 of intrinsics; got "
            f"{tuple(c.shape)}. Make it with cameras.camera or cameras.orbit."
        )
