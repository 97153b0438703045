"""Semantic manipulation beside the true answer, and on demand beside Image2StyleGAN (suppl. Sec. 4,
Fig. 8)."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gradio as gr
from PIL import Image

from demos.indomain import PAPER, rival
from demos.indomain.setting import CLAY_HEADS, WHOLE, Setting, inversion_of, origin
from demos.kit import stored
from demos.kit.address import Opening, into_portrait
from demos.kit.beside import laid_out, lay_beside
from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.downloads import Keepsake, take_home
from demos.kit.handover import Exchange
from demos.kit.inputs import (
    FOLLOW,
    GPU,
    QUIET,
    Dial,
    aligned,
    picture_of,
    portrait_input,
    refuse,
)
from demos.kit.outputs import Values, filling
from demos.kit.portraits import never_seen, seed_of
from demos.kit.runs import Belonging, mark, run_buttons, wire_run
from demos.kit.words import compared, curve, faithful, running, said
from examples.indomain.results import STEPS
from examples.stored import Stored

SAYS = """<div class="prose-page"><p class="aside">Invert once; the sliders then answer at once. {}
</p></div>"""
TRUTH = """For a rendered portrait the renderer knows what the very same person looks like older,
turned or with glasses: the true answer, to hold the edit against."""
PHOTO = """A unit is the published boundary's own. Nobody knows the true answer for a photograph:
that part of the page needs the renderer of clay heads."""
NO_SUBJECT = "There is no inverted picture yet. Press Invert first."
NOTHING = (0,) * len(CLAY_HEADS.attributes)
NO_TRUTH = "Only a rendered portrait has a true answer: nobody knows it for an uploaded picture."


@dataclass(frozen=True)
class InvertedPicture:
    """An inverted picture; `seed` is that of a never-seen portrait, else None."""

    inversion: Any
    image: Image.Image
    seed: int | None
    crop: tuple[float, float, float]
    steps: int

    @property
    def parameters(self) -> dict[str, Any]:
        """What the inversion can be made again from."""
        done = len(self.inversion.losses)
        return {"picture": origin(self.seed, self.crop), "steps": self.steps, "steps_done": done}


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    @stoppable
    def invert(
        self,
        picture,
        x: float,
        y: float,
        zoom: float,
        seed: int | None,
        steps: int,
        given: dict,
        stop: Stop,
    ) -> Iterator[Values]:
        """Invert a picture for manipulation; its code stays in this session.

        The true answer is known when the picture is the never-seen portrait of `seed`. Yields the
        inversion and a report.
        """
        picture = picture_of(picture, seed)
        image = aligned(picture, x, y, zoom, self.at.side)
        seed = seed_of(picture, seed) if self.at.rendered else None

        def work(on_step):
            options = {"method": "in-domain", "steps": int(steps), "on_step": on_step}
            return inversion_of(self.load(), image, given, **options)

        for news in stream(work, stop):
            if not isinstance(news, Done):
                shown = {"inversion": news.images[0]} if news.images else {}
                yield shown | {"state": running(news), "fidelity": curve(news.losses)}
                continue
            subject = InvertedPicture(news.result, image, seed, (x, y, zoom), int(steps))
            with spoken_errors():
                words = faithful(self.load().fidelity(image, news.result))
            shown, codes = {"inversion": news.result.image}, {"inversion": news.result.w}
            keep = Keepsake(shown, codes, subject.parameters, self.at.about(self.load()))
            found = {"fidelity": words, "subject": subject, "history": [], "keep": keep}
            yield rival.NOTHING | shown | found

    @stoppable
    def compare(
        self, subject: InvertedPicture | Stored | None, show_truth: bool, other: Any, *given: Any
    ) -> Iterator[Values]:
        """The same changes on the code that Image2StyleGAN finds for this session's picture.

        It is searched for once a picture. Yields the search, then both edits with their numbers.
        """
        *changes, stop = given
        subject = self._held(subject)

        def work(on_step):
            options = {"method": rival.RIVAL, "steps": subject.steps, "on_step": on_step}
            return self.load().invert(subject.image, **options)

        for news in stream(work, stop) if other is None else ():
            if isinstance(news, Done):
                other = news.result
                continue
            shown = {rival.RIVAL: news.images[0]} if news.images else {}
            yield shown | {"state": running(news), "against": curve(news.losses)}
        found = self.manipulate(subject, show_truth, other, *changes)
        yield {"rival": other} | {name: found[name] for name in (*rival.ROWS, "against", "keep")}

    def manipulate(
        self, subject: InvertedPicture | Stored | None, show_truth: bool, other: Any,
        *changes: float,
    ) -> Values:  # fmt: skip
        """Edit this session's inverted picture; every change is in its attribute's own unit.

        Returns the edited picture, the true answer when asked for and known, and both in words;
        with `other`, the picture's code by Image2StyleGAN, the same edit of that beside it.
        """
        subject = self._held(subject)
        wanted = {name: v for name, v in zip(self.at.names, changes, strict=True) if v}
        with spoken_errors():
            edited = self.load().manipulate(subject.inversion, wanted)
            asked = show_truth and self.at.rendered
            truth, words = self._truth(subject, wanted, edited) if asked else (None, "")
        pair = (subject.inversion.image, edited)
        codes = {"inversion": subject.inversion.w}
        codes["edited"] = self.load().changed(subject.inversion, wanted)
        keep = _keepsake(pair, codes, subject, wanted, self.at.about(self.load()))
        words = said(in_words(wanted, self.at)) + words
        shown = {"edited": edited, "truth": truth, "words": words, "keep": keep}
        return shown if other is None else shown | self._beside(subject, other, wanted, shown)

    def _beside(
        self, subject: InvertedPicture, other: Any, wanted: Mapping, shown: Values
    ) -> Values:
        """The same edit of the other code: pictures, numbers, and the files with both."""
        with spoken_errors():
            pipeline = self.load()
            again = rival.Edited(other, pipeline.manipulate(other, wanted))
            pair = {"in-domain": rival.Edited(subject.inversion, shown["edited"])}
            pair[rival.RIVAL] = again
            found = rival.against(
                pipeline.measure, subject.image, pair, shown["truth"], in_words(wanted, self.at)
            )
            keep = rival.kept(shown["keep"], again, pipeline.changed(other, wanted))
        return found | {"keep": keep}

    def _held(self, subject: InvertedPicture | Stored | None) -> InvertedPicture:
        """The inverted picture, a stored one's code read now; `gr.Error` before there is one."""
        if subject is None:
            raise refuse(NO_SUBJECT)
        if isinstance(subject, Stored):
            with spoken_errors():
                return _opened(self.load(), subject)
        return subject

    def _truth(self, subject: InvertedPicture, wanted: dict, edited) -> tuple:
        if subject.seed is None:
            return None, said(f'<span class="quiet">{NO_TRUTH}</span>')
        truth = aligned(never_seen(subject.seed, wanted), *subject.crop)
        measures = self.load().measure(edited, truth)
        return truth, compared(measures, "the edit", "the true answer")


def _keepsake(
    pair: Sequence[Image.Image], codes: Any, subject: InvertedPicture, changes: Mapping, about: dict
) -> Keepsake:
    pictures = dict(zip(("inversion", "edited"), pair, strict=True))
    told = subject.parameters | {"changes": dict(changes)}
    return Keepsake(pictures, codes, told, about, {"w": "inversion"})


def remember(history: list[tuple], *changes: float) -> list[tuple]:
    """The history with the newest changes; moving one slider on and on is one entry."""
    before = history[-2] if len(history) > 1 else (0,) * len(changes)
    moved = sum(a != b for a, b in zip(before, changes, strict=True))
    reset = history and not any(history[-1])  # stays, so that Undo comes by it
    return [*(history[:-1] if moved <= 1 and not reset else history), changes]


def undo(history: list[tuple], count: int = len(NOTHING)) -> tuple:
    """The history without its newest entry, and the values of `count` sliders then."""
    earlier = history[:-1]
    return earlier, *(earlier[-1] if earlier else (0,) * count)


def cleared(history: list[tuple], count: int = len(NOTHING)) -> tuple:
    """The history with all sliders at zero as its newest entry, which Undo takes back; zeros."""
    nothing = (0,) * count
    undoable = history and any(history[-1])
    return [*history, nothing] if undoable else history, *nothing


def in_words(changes: dict[str, float], at: Setting = CLAY_HEADS) -> str:
    """Changes as a sentence."""
    if not changes:
        return "Nothing is changed: this is the inversion."
    words = {attribute.name: attribute.word.lower() for attribute in at.attributes}
    parts = (f"{words[name]} {value:+g}" for name, value in changes.items())
    return f"Changed: {', '.join(parts)}."


def _opened(pipeline: Any, entry: Stored) -> InvertedPicture:
    """A stored result as if the visitor had inverted its picture."""
    fields = {key: entry.values[key] for key in ("method", "seconds", "losses")}
    others = {"w": {"image": entry.pictures["inverted"], **fields}}
    return _subject(entry, pipeline.restore(entry.codes, others)["w"])


def _subject(entry: Stored, inversion: Any) -> InvertedPicture:
    return InvertedPicture(inversion, entry.pictures["picture"], entry.values["seed"], WHOLE, STEPS)


def _example(entry: Stored) -> dict[str, Any]:
    """Everything that a stored result puts on the page."""
    p, v = entry.pictures, entry.values
    changes = tuple(v["changes"].get(name, 0) for name in CLAY_HEADS.names)
    words = said(in_words(v["changes"]))
    words += compared(SimpleNamespace(**v["measures"]), "the edit", "the true answer")
    subject = _subject(entry, SimpleNamespace(losses=v["losses"]))
    keep = _keepsake(
        (p["inverted"], p["edited"]), entry.codes, subject, v["changes"], CLAY_HEADS.about()
    )
    return {
        "picture": p["picture"], "seed": v["seed"], "inversion": p["inverted"],
        "edited": p["edited"], "truth": p["truth"], "words": words,
        "fidelity": faithful(SimpleNamespace(**v["fidelity"])), "subject": entry,
        "history": [changes], "keep": keep, "of": mark(p["picture"], *WHOLE), **rival.NOTHING,
        **dict(zip(CLAY_HEADS.names, changes, strict=True)),
    }  # fmt: skip


def build(load: Callable, exchange: Exchange, at: Setting = CLAY_HEADS) -> Opening:
    """Put this part into the open tab; returns its first input."""
    part = _Part(load, at)
    gr.HTML(SAYS.format(TRUTH if at.rendered else PHOTO) + _absent(at))
    found = PAPER.stored.read("manipulate") if at.rendered else []
    first = _example(found[0]) if found else {}
    examples = stored.choice(found, "indomain_stored_manipulation", ("picture", "edited"))
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            portrait = portrait_input(
                "Picture", "The picture to edit.", "indomain_manipulate_never_seen_portrait",
                first.get("picture"), first.get("seed"), at.name, side=at.side, faces=at.faces,
            )  # fmt: skip
            ui = run_buttons("Invert", fewest=10)
            fidelity = gr.HTML(first.get("fidelity"), elem_id="manipulate-fidelity")
        with gr.Column(scale=2, min_width=280):
            images = _images(at, first)
            words = gr.HTML(first.get("words", said(NO_SUBJECT)), elem_id="manipulate-words")
            dials = _dials(at, first)
            with gr.Row(equal_height=True):
                switch = gr.Checkbox(
                    label="Show the true answer", value=True, min_width=200, visible=at.rendered
                )
                back = gr.Button("Undo", size="md", min_width=90)
                reset = gr.Button("Reset", size="md", min_width=90)
    compare, beside = rival.build()
    keep, _ = take_home("indomain_manipulate_files", first.get("keep"), exchange.offer)
    exchange.receive("manipulate", "manipulate", portrait)
    subject, of = gr.State(first.get("subject")), gr.State(first.get("of"))
    history = gr.State(first.get("history", []))
    edited = {"edited": images["edited"], "truth": images["truth"], "words": words, "keep": keep}
    asked = [subject, switch, beside["rival"], *dials.values()]
    edit = {**filling(part.manipulate, edited | beside), "inputs": asked}
    made = beside | {
        "inversion": images["inversion"], "fidelity": fidelity, "subject": subject,
        "history": history, "keep": keep,
    }  # fmt: skip
    every = made | edited | dials | lay_beside(keep, "inversion", "manipulate")
    results = Belonging(portrait.origin, of, every, lambda: _cleared(every, dials), portrait.meant)
    inputs = [*portrait.origin, ui.steps, exchange.given]
    api = "indomain_manipulate_invert"
    ran = wire_run(ui, part.invert, made, inputs, api, stored.marked(examples, results))
    ran.success(**filling(lambda: dict.fromkeys(dials, 0), dials), **QUIET).success(
        **edit, api_name="indomain_manipulate", **GPU
    )  # fmt: skip
    compared_to = beside | {"keep": keep}
    gone = Belonging(
        portrait.origin, gr.State(), compared_to, lambda: rival.NOTHING | {"keep": None},
        portrait.meant,
    )  # fmt: skip
    wire_run(compare, part.compare, compared_to, asked, "indomain_manipulate_compare", gone)
    if examples is not None:
        filled = {"picture": portrait.picture, "seed": portrait.seed} | images
        filled |= {"words": words, "of": of, **made, **dials}
        stored.wire(examples, found, _example, filled)
    _wire_edits(edit, dials, history, switch, back, reset)
    return into_portrait(portrait)


def _cleared(every: Values, dials: Values) -> Values:
    start = {"history": [], "words": said(NO_SUBJECT), **laid_out([])}
    return {**dict.fromkeys(every), **dict.fromkeys(dials, 0), **start}


def _wire_edits(edit, dials, history, switch, back, reset) -> None:
    silent, sliders = GPU | QUIET | FOLLOW, list(dials.values())
    for dial in sliders:
        dial.input(remember, [history, *sliders], history, **QUIET, **FOLLOW).then(**edit, **silent)
    switch.input(**edit, **silent)

    def moving(change: Callable) -> Callable:
        def handler(entries: list[tuple]) -> Values:
            entries, *values = change(entries, len(dials))
            return {"history": entries, **dict(zip(dials, values, strict=True))}

        return handler

    for button, change in ((back, undo), (reset, cleared)):
        moved = filling(moving(change), {"history": history, **dials})
        button.click(**moved, inputs=history, **QUIET).then(**edit, **silent)


def _absent(at: Setting) -> str:
    """Which attributes have no slider here, and why."""
    names = at.without("boundary-")
    if not names and at.attributes:
        return ""
    first = html.escape(at.why(names[0])) if names else "No boundary is published for it."
    listed = ", ".join(name.removeprefix("boundary-") for name in names) or "any attribute"
    return f'<div class="prose-page"><p class="aside">No slider for {listed}. {first}</p></div>'


def _dials(at: Setting, first: Values) -> dict[str, Dial]:
    """A slider an attribute, by its name."""
    dials = {}
    for start in range(0, len(at.attributes), 2):
        with gr.Row():
            for a in at.attributes[start : start + 2]:
                step = (a.high - a.low) / 40
                dials[a.name] = Dial(
                    a.low, a.high, first.get(a.name, 0), step=step, label=a.label, min_width=200
                )
    return dials


def _images(at: Setting, first: Values) -> dict[str, gr.Image]:
    described = {
        "inversion": ("Inversion", "The inverted picture."),
        "edited": ("Edited", "The picture after the changes."),
        "truth": ("True answer", "The same portrait rendered with the changes."),
    }
    with gr.Row():
        return {
            name: gr.Image(
                first.get(name), label=label, interactive=False, format="png", height=280,
                min_width=150, alt_text=alt, elem_classes="filled",
                buttons=["download", "fullscreen"],
                visible=at.rendered or name != "truth",
            )
            for name, (label, alt) in described.items()
        }  # fmt: skip
