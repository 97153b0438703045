"""What a paper claims: the two figures that it compares here, and whether it holds by them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
NOT_COMPARABLE, NOT_JUDGED = "not comparable", "not judged"
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_COMPARABLE, NOT_JUDGED)
Figures = Tensor | float


@dataclass(frozen=True)
class Claim:
    """That one figure is better than another: means where they are of many portraits, None where
    there is nothing to compare."""

    text: str
    better: float | None
    worse: float | None
    verdict: str

    def __str__(self) -> str:
        if self.better is None or self.worse is None:
            return f"{self.verdict.upper():15}{self.text}"
        return f"{self.verdict.upper():15}{self.text}: {self.better:.3g} against {self.worse:.3g}"


def claim(text: str, better: Figures, worse: Figures, *, below: bool = False) -> Claim:
    """That `better` is above `worse`, or below it.

    Of portraits that only one of them has, or that one knows no figure of (NaN), nothing is said.
    """
    a, b = (torch.as_tensor(figure, dtype=torch.float64) for figure in (better, worse))
    if a.ndim and b.ndim:
        a, b = a[: len(b)], b[: len(a)]
    known = ~(a.isnan() | b.isnan())
    if a.ndim and b.ndim:
        a, b = a[known], b[known]
    means = a.mean().item(), b.mean().item()
    if not all(map(math.isfinite, means)) or len(known.reshape(-1)) > 1 and known.sum() < 2:
        return Claim(text, None, None, NOT_COMPARABLE)
    return Claim(text, *means, verdict(b, a) if below else verdict(a, b))


def verdict(better: Figures, worse: Figures) -> str:
    """Whether `better` is above `worse`: by two standard errors of pairs, or at all for numbers."""
    gap = torch.as_tensor(better, dtype=torch.float64) - torch.as_tensor(worse, dtype=torch.float64)
    if gap.ndim == 0:
        return HOLDS if gap > 0 else FAILS
    if len(gap) < 2:
        return NOT_COMPARABLE
    error = gap.std() / len(gap) ** 0.5
    if gap.mean().abs() <= 2 * error:
        return UNDECIDED
    return HOLDS if gap.mean() > 0 else FAILS


def said(claims: Iterable[Claim]) -> list[dict[str, Any]]:
    """Claims as JSON keeps them."""
    return [asdict(each) for each in claims]


def read(rows: Iterable[Mapping[str, Any]]) -> list[Claim]:
    """Claims as `said` wrote them."""
    return [Claim(**row) for row in rows]
