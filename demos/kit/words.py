"""What pages say: how a run goes, how alike two pictures are, how faithful a code is."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from demos.kit.bridge import Progress


def said(*sentences: str, outside: bool = False) -> str:
    """Sentences for the visitor; the caller escapes what is not its own."""
    kind = "said outside" if outside else "said"
    return "".join(f'<p class="{kind}">{sentence}</p>' for sentence in sentences)


def step_count(losses: Sequence[float]) -> str:
    """How many steps have a loss, in words."""
    return "1 step" if len(losses) == 1 else f"{len(losses)} steps"


def curve(losses: Sequence[float]) -> str:
    """The loss curve as inline SVG, described in words for those who cannot see it."""
    losses = [v for v in losses if math.isfinite(v)]
    if len(losses) < 2:
        return ""
    low, high = min(losses), max(losses)
    span = (high - low) or 1.0
    points = " L".join(
        f"{100 * i / (len(losses) - 1):.2f} {96 - 92 * (v - low) / span:.2f}"
        for i, v in enumerate(losses)
    )
    words = f"Loss from {losses[0]:.4g} to {losses[-1]:.4g} in {len(losses)} steps"
    return f"""<div class="curve"><figure><svg viewBox="0 0 100 100" preserveAspectRatio="none"
role="img" aria-label="{words}"><line x1="0" y1="99" x2="100" y2="99"/><path d="M{points}"/></svg>
<figcaption><span>{losses[0]:.4g}</span><span>loss, {len(losses)} steps</span>
<span>{losses[-1]:.4g}</span></figcaption></figure></div>"""


def running(progress: Progress, run: int = 0, runs: int = 1) -> str:
    """A running stage in words, with its share and the time that is left.

    run, runs: which of several like stages it is, from 0, and how many there are.
    """
    share = (run + progress.index / max(progress.total, 1)) / runs
    words = progress.words
    if progress.seconds_a_step is not None:
        steps = (runs - run) * progress.total - progress.index
        words += f", {_time(steps * progress.seconds_a_step)} left"
    return f"""<div role="status">{said(words)}<div class="meter"><i style="width:
{share:.1%}"></i></div></div>"""


def _time(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"


def decibels(psnr: float) -> str:
    """A PSNR as a number; equal pictures have an infinite one."""
    return f"{psnr:.1f} dB" if math.isfinite(psnr) else "∞ dB"


def compared(measures: Any, first: str, second: str) -> str:
    """How alike two pictures are, in words and numbers."""
    pixels = _grade(measures.psnr, (30, "almost equal"), (24, "close"), (18, "roughly alike"))
    # On validation portraits a shift of 2 px is 0.4 away, a blur of 2 px 0.9, nineteen strangers
    # in twenty 2.8 or more.
    look = _grade(-measures.lpips, (-0.4, "the same"), (-0.9, "similar"), (-2.8, "related"))
    return said(
        f"Pixel for pixel, {first} and {second} are <b>{pixels or 'far apart'}</b> "
        f"({decibels(measures.psnr)}); to the eye they look <b>{look or 'different'}</b> "
        f"(LPIPS {measures.lpips:.3f}); on who it is: {same_person(measures.identity)}."
    )


# Cosines of the shipped judge that one in a thousand, and in a hundred, pairs of strangers exceed.
SAME, PERHAPS = 0.66, 0.52


def same_person(identity: float | None, graded: bool = True) -> str:
    """The judge's cosine between two portraits as a number, and in words that clay heads graded."""
    if identity is None:
        why = "it cannot tell people apart reliably yet" if graded else "there is none here"
        return f"<b>no verdict</b> ({why})"
    if not graded:
        return f"identity {identity:.2f}, from -1 to 1; no words are calibrated for this judge"
    word = _grade(identity, (SAME, "the same person"), (PERHAPS, "perhaps the same person"))
    return f"<b>{word or 'another person'}</b> (identity {identity:.2f})"


def _grade(value: float, *grades: tuple[float, str]) -> str:
    return next((word for least, word in grades if value >= least), "")


_OUTSIDE = "<b>outside the domain</b>: the networks know clay portraits only"


def faithful(fidelity: Any) -> str:
    """How faithful an inversion is, and honestly when the picture is outside the domain."""
    words = (
        f"The inversion is <b>{html.escape(fidelity.words)}</b>: pixel for pixel as far from the "
        f"picture as the picture blurred by {fidelity.blur:.1%} of its side."
    )
    if fidelity.inside is None:
        return said(f"{words} Whether the picture is inside the domain is not calibrated here.")
    if fidelity.inside:
        return said(words)
    return said(
        f"{words} This picture is {_OUTSIDE}, so the result is the nearest clay portrait, not this "
        "picture.",
        outside=True,
    )


def strangers(inside: Mapping[str, bool | None]) -> str:
    """Which inputs are outside the domain, in a sentence; nothing when all are inside.

    inside: whether each is, by what the visitor calls it; None where nothing says so.
    """
    if None in inside.values():
        return said("Whether the pictures are inside the domain is not calibrated here.")
    names = [name for name, within in inside.items() if not within]
    if not names:
        return ""
    *others, last = names
    listed = f"{', '.join(others)} and {last}" if others else last
    listed = f"{listed[:1].upper()}{listed[1:]} {'are' if others else 'is'}"
    return said(f"{listed} {_OUTSIDE}.", outside=True)
