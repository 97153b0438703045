"""The codes of Eq. 4 as small plots: how large w^m, gamma and beta are, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# By the pipeline's names: the symbol, and what it is.
SYMBOLS = {
    "mapped": ("w<sup>m</sup>", "what M makes of the middle block"),
    "gamma": ("w<sup>γ</sup>", "what T scales it by"),
    "beta": ("w<sup>β</sup>", "what T adds"),
}


def figure(sizes: Mapping[str, Sequence[float]]) -> str:
    """Mean absolute size of each code at each layer, in HTML; each plot has its own scale."""
    return f'<div class="layers">{"".join(_plot(name, sizes[name]) for name in SYMBOLS)}</div>'


def _plot(name: str, sizes: Sequence[float]) -> str:
    symbol, words = SYMBOLS[name]
    most, width = max(max(sizes), 1e-9), 100 / len(sizes)
    bars = "".join(
        f'<rect x="{i * width + 0.12 * width:.2f}" y="{100 - 100 * size / most:.2f}" '
        f'width="{0.76 * width:.2f}" height="{100 * size / most:.2f}"/>'
        for i, size in enumerate(sizes)
    )
    told = ", ".join(f"{size:.2f}" for size in sizes)
    return f"""<figure><figcaption><b>{symbol}</b> <span>{words}</span></figcaption>
<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img"
aria-label="Mean size of {name} by layer: {told}">{bars}</svg>
<p><span>layer 1</span><span>{most:.2f} at most</span><span>{len(sizes)}</span></p></figure>"""
