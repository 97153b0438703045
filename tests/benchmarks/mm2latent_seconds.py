"""Table 4 of MM2Latent, for its benchmark: milliseconds from words and a mask to a picture."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter as now
from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples.clay.parts import PALETTE
from pipelines.conditions import Condition
from pipelines.diffusion_inversion import DiffusionInversion
from tests.benchmarks.mm2latent_bench import Bench

OURS, NEAREST, TEDIGAN = "mm2latent", "nearest sample", "tedigan"
ONE_CALL, CONTROLNET = "diffusion-driven", "controlnet alone"
BATCH = 16
Draw = Callable[[int], Any]  # so many pictures


def drawers(bench: Bench, diffusion: DiffusionInversion | None) -> dict[str, tuple[Draw, int]]:
    """Every generator of the house that takes words and a mask: from so many of them to pictures,
    and how many it takes at once."""
    p = bench.pipeline
    texts = [caption.text or "a person" for caption in bench.captions[:BATCH]]
    masks = bench.given["mask"][:BATCH].to(p.device)

    def ours(size: int) -> Tensor:
        return p.project(p.embedding.embed_texts(texts[:size]), "mask", masks[:size])

    def nearest(size: int) -> Tensor:
        w = bench.bank.nearest(p.embedding.embed_texts(texts[:size]))
        return w[:, None].expand(-1, p.generator.num_ws, -1)

    def tedigan(size: int) -> Tensor:
        f_text = p.embedding.embed_texts(texts[:size])
        return p.rivals.tedigan(f_text, "mask", masks[:size], steps=bench.steps)[0]

    def drawn(codes: Draw) -> Draw:
        return lambda size: p.generator.synthesis(codes(size)).cpu()

    found = {
        OURS: (drawn(ours), BATCH), NEAREST: (drawn(nearest), BATCH),
        TEDIGAN: (drawn(tedigan), BATCH),
    }  # fmt: skip
    if diffusion is not None:
        labels = bench.given["mask"][0].numpy().astype(np.uint8)
        mask = Condition.mask(labels, PALETTE)
        found[ONE_CALL] = (lambda _: diffusion.read(texts[0], mask), 1)
        found[CONTROLNET] = (lambda _: diffusion.denoise(texts[0], mask), 1)
    return found


@torch.no_grad()
def milliseconds(
    bench: Bench, diffusion: DiffusionInversion | None, repeats: int = 5
) -> dict[str, dict[str, float]]:
    """Table 4: median milliseconds a picture from words and mask to pixels, after one to warm up.

    What takes longer than a second is drawn fewer times.
    """
    found: dict[str, dict[str, float]] = {}
    for name, (draw_some, most) in drawers(bench, diffusion).items():
        for size in [size for size in (1, BATCH) if size <= most]:
            spent: list[float] = []
            while len(spent) < (2 if bench.quick else 1 + repeats) and sum(spent) < repeats:
                start = now()
                draw_some(size)
                spent.append(now() - start)
            each = 1000 * float(np.median(spent[1:] or spent)) / size
            found.setdefault(name, {})[f"batch {size}"] = each
    return found
