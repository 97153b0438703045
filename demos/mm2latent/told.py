"""Scores in words: how near a picture is to what was asked, and what a judge sees in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from PIL import Image

from demos.kit.imaging import data_uri
from demos.kit.words import said
from demos.mm2latent.chips import Wish, beyond, known, wishes
from demos.mm2latent.setting import HEAD, MASK, SKETCH

_SEEN = {  # attribute: how a value is said, "{}" for the value; what is absent is said at "none"
    "expression": ("{}", ""),
    "beard": ("{}", "no beard"),
    "glasses": ("{} glasses", "no glasses"),
    "hat": ("{}", "no hat"),
}
_FACES = {"neutral": "calm face", "surprise": "surprised face"}
_NAMES = {
    "hair_color": "hair colour", "hair_style": "hair", "expression": "face",
    "background": "background",
}  # fmt: skip
_AGREE = {
    MASK: "{:.0%} of the pixels are of the mask’s class",
    SKETCH: "{:.0%} agreement of lines with the sketch (F1)",
    HEAD: "3DMM numbers {:.0%} right, of their ranges",
}


def sees(attributes: Mapping[str, str] | None) -> str:
    """What a judge sees, as a list of words; "" without one."""
    seen = known(attributes or {})
    hair = [seen[name] for name in ("hair_color",) if name in seen]
    style = seen.get("hair_style", "")
    words = ["bald head" if style == "bald" else _hair(hair, style)] if hair or style else []
    for name, (form, absent) in _SEEN.items():
        if name in seen:
            value = _FACES.get(seen[name], seen[name])
            words.append(absent if value == "none" else _glassed(form, value))
    return ", ".join(words)


def _hair(colour: Sequence[str], style: str) -> str:
    cut = {"short": "short {} hair", "long": "long {} hair", "long wavy": "long wavy {} hair"}
    form = cut.get(style, f"{{}} {style}" if style else "{} hair")
    return " ".join(form.format(*colour or [""]).split())


def _glassed(form: str, value: str) -> str:
    return value if value == "sunglasses" else form.format(value)


def granted(wish: Wish, attributes: Mapping[str, str] | None) -> bool | None:
    """Whether a judge sees what was asked; None where it cannot say."""
    seen = (attributes or {}).get(wish.attribute)
    return seen in wish.seen if wish.seen and seen is not None else None


def verdicts(prompt: str | None, attributes: Mapping[str, str] | None) -> str:
    """Everything that a prompt asks by chips, each with whether the judge sees it, in HTML."""
    rows = []
    for wish in wishes(prompt or ""):
        told = granted(wish, attributes)
        mark, kind = {True: ("✓", "yes"), False: ("✗", "no"), None: ("·", "open")}[told]
        rest = ""
        if told is False:
            what = _NAMES.get(wish.attribute, wish.attribute)
            rest = f" <small>the judge sees {escape(what)}: {escape(attributes[wish.attribute])}"
            rest += "</small>"
        if told is None:
            rest = " <small>not judged</small>"
        rows.append(f'<li class="{kind}"><b>{mark}</b> {escape(wish.words)}{rest}</li>')
    return f'<ul class="verdicts">{"".join(rows)}</ul>' if rows else ""


def report(
    scores: Any, prompt: str | None, kind: str | None, notes: Sequence[str] = (), chips: bool = True
) -> str:
    """Everything that there is to say of a result, in HTML; chips: whether words have a meaning."""
    lines = [escape(note) for note in notes]
    words = said(*lines, outside=True) if lines else ""
    seen = sees(scores.attributes)
    if seen:
        words += said(f"The judge sees: <b>{escape(seen)}</b>.")
    words += verdicts(prompt, scores.attributes) if chips else ""
    more = beyond(prompt) if prompt and chips else ""
    if more and scores.attributes:
        words += said(
            f'<span class="quiet">Nobody judges these words: “{escape(_short(more))}”.</span>'
        )
    return words + said(f'<span class="quiet">{numbers(scores, kind)}</span>')


def numbers(scores: Any, kind: str | None) -> str:
    """The scores as numbers with what they are of."""
    told = []
    if scores.text is not None:
        told.append(f"Words and picture {scores.text:.2f} alike (cosine of the joint embedding)")
    if scores.condition is not None and kind in _AGREE:
        told.append(_AGREE[kind].format(scores.condition))
    return f"{'; '.join(told)}." if told else ""


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[:most].rsplit(' ', 1)[0]} …"


@dataclass(frozen=True)
class Plate:
    """A picture with a name above and words below it; words are HTML."""

    name: str
    image: Image.Image
    words: str = ""
    marked: bool = False


def plates(shown: Sequence[Plate], kind: str = "") -> str:
    """Pictures side by side, in HTML."""
    figures = "".join(
        f"<figure{' class=marked' if p.marked else ''}><h4>{escape(p.name)}</h4>"
        f'<img src="{data_uri(p.image)}" alt="{escape(p.name)}">'
        f"<figcaption>{p.words}</figcaption></figure>"
        for p in shown
    )
    return f'<div class="plates {kind}">{figures}</div>'


def brief(result: Any) -> str:
    """What stands below a small picture: what the judge sees, and the two numbers."""
    scores, told = result.scores, []
    if scores.text is not None:
        told.append(f"words {scores.text:.2f}")
    if scores.condition is not None:
        told.append(f"{result.condition.replace(HEAD, '3DMM')} {scores.condition:.0%}")
    seen = escape(sees(scores.attributes))
    return f'{seen}<span class="figures">{", ".join(told)}</span>'
