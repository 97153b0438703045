"""Numbers of the page: how near pictures come, and what share of a picture each latent has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from demos.kit.imaging import psnr
from demos.kit.words import decibels
from demos.sam_inversion.latents import colours
from demos.sam_inversion.session import Seen, Subject
from demos.sam_inversion.setting import LABELS

IDENTITY = "Iden&shy;tity"  # a phone has no room for the whole word


def table(subject: Subject) -> str:
    """How near the inversions are to the picture, and what share each latent has, in HTML."""
    seen, results = subject.seen, subject.results
    rows = [
        [LABELS[name], decibels(r.measures.psnr), *on_thing(r.image, seen),
         f"{r.measures.lpips:.3f}", identity(r.measures.identity), f"{r.seconds:.1f}"]
        for name, r in results.items()
    ]  # fmt: skip
    best = max(range(len(rows)), key=lambda i: list(results.values())[i].measures.psnr)
    heads = ["PSNR", *thing_head(seen), "LPIPS", IDENTITY, "Sec&shy;onds"]
    return shares(subject.sam) + numbers("Against the picture; marked: highest PSNR.", heads,
                                         rows, best)  # fmt: skip


def on_thing(image: Image.Image, seen: Seen, target: Image.Image | None = None) -> list[str]:
    """PSNR to the target, or the picture, where the thing before the face is seen, if any."""
    thing = seen.thing
    return [] if thing is None else [decibels(psnr(image, target or seen.picture, thing))]


def thing_head(seen: Seen) -> list[str]:
    return [] if seen.thing is None else [f"on the {seen.scene.thing}"]


def identity(cosine: float | None) -> str:
    return "no verdict" if cosine is None else f"{cosine:.2f}"


def numbers(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], best: int) -> str:
    """Methods and their numbers as an HTML table, one row marked."""
    head = "".join(f'<th class="number">{name}</th>' for name in heads)
    body = "".join(_row(row, i == best) for i, row in enumerate(rows))
    return f"""<div class="scroll"><table class="numbers"><caption>{caption}</caption><thead><tr>
<th>Method</th>{head}</tr></thead><tbody>{body}</tbody></table></div>"""


def _row(row: Sequence[str], best: bool) -> str:
    first, *rest = row
    cells = "".join(f'<td class="number">{value}</td>' for value in rest)
    return f"<tr{' class=best' if best else ''}><td>{first}</td>{cells}</tr>"


def shares(inversion: Any) -> str:
    """How much of the picture each latent has, as a bar that is labelled."""
    count = len(inversion.latents)
    parts = np.bincount(inversion.latent_map.ravel(), minlength=count) / inversion.latent_map.size
    named = list(zip(inversion.latents, parts, colours(count), strict=True))
    bar = "".join(f'<i style="flex:{part:.4f};background:{c}"></i>' for _, part, c in named if part)
    listed = ", ".join(f"{name} {part:.0%}" for name, part, _ in named if part)
    return f'<div class="shares"><div>{bar}</div><p>The inversion took {listed}.</p></div>'
