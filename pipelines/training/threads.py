"""How many CPU threads a recipe or a benchmark computes with, decided for all that it calls."""

from __future__ import annotations

import torch

from examples.clay.compiled import use_threads as render_with


def use_threads(count: int | None) -> None:
    """Compute and render on `count` CPU threads from now on; None leaves what is set."""
    if count:
        render_with(count)
        torch.set_num_threads(count)
