"""The cards of the comparison: a picture under its name, what is told of it below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image

from demos.comparison.method import CHANGES, Change
from demos.comparison.session import Answer, Edited, Entrant, Inverted, Subject, moved
from demos.kit.bridge import Progress
from demos.kit.imaging import data_uri
from demos.kit.outputs import Values
from demos.kit.shelf import NAMES, NOTHING, Scene
from demos.kit.words import decibels

PICTURE, TRUTH = "picture", "truth"  # names of the two cards that are no method's
ASK, WAITS = "Not run yet", "Waits for its turn"
NOT_REACHED = "Stopped before its turn"
QUALITY = 92  # of a picture inside the page: 128 px take 6 kB instead of 16


def edit_of(slug: str) -> str:
    """The name of the card with a method's edit."""
    return f"{slug} edited"


def card(
    title: str,
    picture: Image.Image | None,
    alt: str,
    numbers: Mapping[str, str] | None = None,
    words: str = "",
    kind: str = "",
) -> str:
    """One card: title and words in HTML; without a picture the words stand in its place."""
    if picture is None:
        frame, below = f'<p class="frame">{words}</p>', ""
    else:
        source = data_uri(picture, "WEBP", quality=QUALITY)
        frame = f'<img class="frame" src="{source}" alt="{escape(alt)}">'
        rows = (f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in (numbers or {}).items())
        below = f"<dl>{''.join(rows)}</dl><p>{words}</p>" if numbers else f"<p>{words}</p>"
    told = f"<figcaption><h4>{title}</h4>{below}</figcaption>"
    return f'<figure class="shot {kind}">{frame}{told}</figure>'


def blank(title: str, words: str, kind: str = "") -> str:
    """A card without a picture."""
    return card(title, None, "", words=words, kind=f"blank {kind}")


def link(entrant: Entrant) -> str:
    """A paper's name, which leads to its page."""
    return f'<a href="{entrant.paper.slug}">{escape(entrant.paper.name)}</a>'


def given_cards(subject: Subject, name: str, truth: Image.Image | None) -> Values:
    """What is there before any method runs: the picture, and what an edit ought to show."""
    picture = picture_card(subject.picture)
    return {PICTURE: picture, TRUTH: truth_card(subject, name, truth)}


# ---- the first row: the picture, and what each method makes of it -----------------------------


def picture_card(picture: Image.Image | None) -> str:
    """The picture as the networks see it."""
    title = "The picture"
    if picture is None:
        return blank(title, "Give a picture")
    alt = "The picture that every method is given."
    return card(title, picture, alt, words="What every method is given.")


def running_card(entrant: Entrant, news: Progress | None = None) -> str:
    """A method that runs: its picture so far, its steps and its seconds."""
    if news is None or not news.images:
        return blank(link(entrant), "Runs …", "runs")
    share = news.index / max(news.total, 1)
    words = f'<span class="meter"><i style="width:{share:.0%}"></i></span>'
    numbers = {"Step": f"{news.index} of {news.total}", "Time": _seconds(news.seconds)}
    alt = f"The picture as {entrant.paper.name} has it so far."
    return card(link(entrant), news.images[0], alt, numbers, words, "runs")


def inverted_card(entrant: Entrant, found: Inverted, best: bool = False) -> str:
    """A finished inversion, with its numbers beside the picture."""
    numbers = {
        "PSNR": decibels(found.measures.psnr), "LPIPS": _distance(found.measures),
        "Identity": _identity(found.measures), "Time": _seconds(found.seconds),
    }  # fmt: skip
    alt = f"The picture as {entrant.paper.name} rebuilds it."
    words, kind = f"{escape(entrant.method.how)}.", "best" if best else ""
    return card(link(entrant), found.image, alt, numbers, words, kind)


def inverted_cards(all_of: Sequence[Entrant], subject: Subject, rest: str = ASK) -> Values:
    """The first row of a subject; rest: words where a method has made nothing."""
    near = nearest(subject.inverted)
    shown = {PICTURE: picture_card(subject.picture)}
    for entrant in all_of:
        slug = entrant.paper.slug
        if slug in subject.inverted:
            shown[slug] = inverted_card(entrant, subject.inverted[slug], slug == near)
        else:
            shown[slug] = _without(entrant, subject.failed, rest)
    return shown


# ---- the second row: the true answer, and each method's edit ----------------------------------


def truth_card(subject: Subject, name: str, truth: Image.Image | None) -> str:
    """What the edit ought to show, where the renderer knows it."""
    title, change = "True answer", CHANGES[name]
    if truth is None or subject.scene is None:
        return blank(title, "Nobody knows it for a picture of your own")
    words = _in_words(subject.scene, change)
    if not moved(subject.scene, name):
        words = f"This person {change.done}: the true answer is nearly the picture itself."
    alt = f"The same person, rendered with the change: {change.label.lower()}."
    return card(title, truth, alt, words=words)


def edited_card(entrant: Entrant, name: str, found: Edited, best: bool = False) -> str:
    """A method's edit, and how near it is to the true answer."""
    numbers = {"LPIPS": _distance(found.measures), "Identity": _identity(found.measures)}
    if found.unedited is not None:
        numbers = {"LPIPS": _distance(found.measures), "Unedited": _distance(found.unedited),
                   "Identity": _identity(found.measures)}  # fmt: skip
    change = CHANGES[name].label.lower()
    alt = f"The edit by {entrant.paper.name}: {change}."
    words = f"{escape(entrant.method.ways[name].words)}."
    return card(link(entrant), found.image, alt, numbers, words, "best" if best else "")


def edited_cards(
    all_of: Sequence[Entrant], subject: Subject, name: str, answer: Answer, rest: str = ASK
) -> Values:
    """The second row; rest: words where a method has not made its edit."""
    known = answer.truth is not None
    near = nearest(answer.edited) if known else None
    shown = {TRUTH: truth_card(subject, name, answer.truth)}
    for entrant in all_of:
        slug = entrant.paper.slug
        if slug in answer.edited:
            found = edited_card(entrant, name, answer.edited[slug], slug == near)
        elif name not in entrant.method.ways:
            words = entrant.method.cannot or "It has no such edit."
            found = blank(link(entrant), escape(words), "cannot")
        elif slug in subject.failed:
            found = blank(link(entrant), "Not rebuilt, so not changed", "failed")
        else:
            found = _without(entrant, answer.failed, rest)
        shown[edit_of(slug)] = found
    return shown


def waiting_cards(all_of: Sequence[Entrant], name: str, words: str = WAITS) -> Values:
    """Both rows before anything is made: what a method cannot do is known already."""
    shown = {TRUTH: blank("True answer", words)}
    for entrant in all_of:
        shown[entrant.paper.slug] = blank(link(entrant), words)
        can = name in entrant.method.ways
        told = words if can else escape(entrant.method.cannot or "It has no such edit.")
        shown[edit_of(entrant.paper.slug)] = blank(link(entrant), told, "" if can else "cannot")
    return shown


def nearest(found: Mapping[str, Any]) -> str | None:
    """Whose picture comes nearest to the eye, of two or more."""
    if len(found) < 2:
        return None
    return min(found, key=lambda slug: found[slug].measures.lpips)


def _without(entrant: Entrant, failed: Mapping[str, str], rest: str) -> str:
    slug = entrant.paper.slug
    if slug in failed:
        return blank(link(entrant), f"That did not work: {escape(failed[slug])}", "failed")
    return blank(link(entrant), rest)


def _in_words(scene: Scene, change: Change) -> str:
    """What the renderer drew anew."""
    word = NAMES.get(scene.thing, scene.thing)
    thing = "" if scene.thing == NOTHING else f" with the same {word}"
    return f"The same person{thing}, rendered so: {change.label.lower()}."


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s"


def _distance(measures: Any) -> str:
    return f"{measures.lpips:.2f}"


def _identity(measures: Any) -> str:
    return "no verdict" if measures.identity is None else f"{measures.identity:.2f}"
