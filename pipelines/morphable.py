"""The numbers of 3D morphable models: names, ranges and their order in a vector.

`CLAY`: what the renderer of clay heads draws, 20 shape scores, 10 numbers of expression and the
turn of the head. `DECA` (Feng et al., SIGGRAPH 2021): the 159 numbers that MM2Latent takes of
photographs, 100 of shape, 50 of expression, 9 of pose and camera.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from examples.clay.parameters import EXPRESSION, POSE, SHAPE, limits


@dataclass(frozen=True)
class Layout:
    """A vector's numbers by group, in order, with the smallest and largest of each."""

    groups: Mapping[str, tuple[str, ...]]
    ranges: Mapping[str, tuple[float, float]]

    @property
    def names(self) -> tuple[str, ...]:
        """Of all numbers, in order."""
        return tuple(name for group in self.groups.values() for name in group)

    def span(self, name: str) -> float:
        """How much a number can differ."""
        low, high = self.ranges[name]
        return high - low

    def columns(self, group: str) -> slice:
        """Where a group's numbers lie in a vector."""
        before = list(self.groups)[: list(self.groups).index(group)]
        start = sum(len(self.groups[name]) for name in before)
        return slice(start, start + len(self.groups[group]))

    def vector(
        self,
        given: Mapping[str, float] | Sequence[float] | np.ndarray,
        rest: Sequence[float] | np.ndarray,
    ) -> Float[np.ndarray, " n"]:
        """Numbers by name or all in order, checked; rest: those that a mapping does not name.

        ValueError for an unknown name, a number outside its range, or one that is not finite.
        """
        if isinstance(given, Mapping):
            if unknown := sorted(map(str, set(given) - set(self.names))):
                raise ValueError(
                    f"3DMM parameters must be among {', '.join(self.names)}; got "
                    f"{', '.join(unknown)}. Correct or drop them."
                )
            if not given:
                raise ValueError(
                    "3DMM parameters must name at least one number; got none. Give e.g. "
                    f"{{{self.names[-1]!r}: 0}}."
                )
            values = np.array([given.get(n, r) for n, r in zip(self.names, rest, strict=True)])
            named = set(given)
        else:
            values, named = np.asarray(given), set(self.names)
        return self._checked(values, named)

    def _checked(self, values: np.ndarray, named: set[str]) -> Float[np.ndarray, " n"]:
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f"3DMM parameters must be {len(self.names)} numbers; got {values.tolist()!r}. "
                "Give numbers by name."
            ) from None
        if values.shape != (len(self.names),):
            raise ValueError(
                f"3DMM parameters must be {len(self.names)} numbers; got shape {values.shape}. "
                "Give them by name, or all in the order of the layout."
            )
        for name, value in zip(self.names, values, strict=True):
            low, high = self.ranges[name]
            if name in named and not low - 1e-6 <= value <= high + 1e-6:  # NaN fails this too
                raise ValueError(
                    f"{name} must be a number in [{low:g}, {high:g}]; got {value:g}. "
                    "Choose one in between."
                )
        return values.astype(np.float32)


CLAY = Layout(
    {"shape": SHAPE, "expression": EXPRESSION, "pose": POSE},
    # Shape in standard deviations, expression as shares, pose in degrees.
    {name: limits(name) for name in (*SHAPE, *EXPRESSION, *POSE)},
)

_ROTATIONS = tuple(f"{joint} {axis}" for joint in ("head", "jaw") for axis in "xyz")
_CAMERA = ("camera scale", "camera x", "camera y")
_DECA = {
    "shape": tuple(f"shape {i}" for i in range(1, 101)),
    "expression": tuple(f"expression {i}" for i in range(1, 51)),
    "pose": (*_ROTATIONS, *_CAMERA),
}
DECA = Layout(
    _DECA,
    # Coefficients in standard deviations; rotations as axis-angle [rad]; camera: orthographic.
    {name: (-3.0, 3.0) for name in (*_DECA["shape"], *_DECA["expression"])}
    | {name: (-math.pi / 2, math.pi / 2) for name in _ROTATIONS}
    | dict(zip(_CAMERA, ((0.0, 20.0), (-1.0, 1.0), (-1.0, 1.0)), strict=True)),
)
LAYOUTS = {"clay-heads": CLAY}  # of a domain; DECA in the others
