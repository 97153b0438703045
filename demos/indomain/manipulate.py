"""Semantic manipulation beside the true answer (suppl. Sec. 4, Fig. 8)."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any

import gradio as gr
from PIL import Image

from demos.indomain import PAPER
from demos.indomain.setting import CLAY, STEPS, WHOLE, Setting, origin
from demos.kit import stored
from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.downloads import Keepsake, fresh_folder, take_home
from demos.kit.inputs import (
    FOLLOW,
    GPU,
    QUIET,
    Dial,
    aligned,
    portrait_input,
    refuse,
    run_buttons,
    run_options,
    stop_button,
)
from demos.kit.portraits import never_seen, seed_of
from demos.kit.words import compared, faithful, running, said

SAYS = """<div class="prose-page"><p class="aside">Invert once; the sliders then answer at once. {}
</p></div>"""
TRUTH = """For a never-seen portrait the renderer knows what the very same person looks like older,
turned or with glasses: the true answer, to hold the edit against."""
PHOTO = """A unit is the published boundary's own. Nobody knows the true answer for a photograph:
that part of the page needs the renderer of clay heads."""
NOTHING = (0,) * len(CLAY.attributes)
NO_TRUTH = "Only a never-seen portrait has a true answer: nobody knows it for an uploaded picture."


@dataclass(frozen=True)
class Subject:
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
        self, picture, x: float, y: float, zoom: float, seed: int | None, steps: int, stop: Stop
    ) -> Iterator[tuple]:
        """Invert a picture for manipulation; its code stays in this session.

        The true answer is known when the picture is the never-seen portrait of `seed`. Yields the
        inversion and a report.
        """
        image = aligned(picture, x, y, zoom, self.at.side)
        seed = seed_of(picture, seed) if self.at.rendered else None

        def work(on_step):
            return self.load().invert(image, method="in-domain", steps=int(steps), on_step=on_step)

        for news in stream(work, stop):
            if not isinstance(news, Done):
                shown = news.images[0] if news.images else gr.skip()
                yield shown, running(news), *(gr.skip(),) * 3
                continue
            subject = Subject(news.result, image, seed, (x, y, zoom), int(steps))
            with spoken_errors():
                words = faithful(self.load().fidelity(image, news.result))
            shown, codes = {"inversion": news.result.image}, {"w": news.result.w}
            yield shown["inversion"], words, subject, [], Keepsake(shown, codes, subject.parameters)

    def manipulate(
        self, subject: Subject | stored.Stored | None, show_truth: bool, *changes: float
    ) -> tuple:
        """Edit this session's inverted picture; every change is in its attribute's own unit.

        Returns the edited picture, the true answer when asked for and known, and both in words.
        """
        if subject is None:
            raise refuse("There is no inverted picture yet. Press Invert first.")
        if isinstance(subject, stored.Stored):
            with spoken_errors():
                subject = _opened(self.load(), subject)
        names = [attribute.name for attribute in self.at.attributes]
        wanted = {name: v for name, v in zip(names, changes, strict=True) if v}
        with spoken_errors():
            edited = self.load().manipulate(subject.inversion, wanted)
            asked = show_truth and self.at.rendered
            truth, words = self._truth(subject, wanted, edited) if asked else (None, "")
        pair = (subject.inversion.image, edited)
        keep = _keepsake(pair, {"w": subject.inversion.w}, subject, wanted)
        return edited, truth, said(in_words(wanted, self.at)) + words, keep

    def _truth(self, subject: Subject, wanted: dict, edited) -> tuple:
        if subject.seed is None:
            return None, said(f'<span class="quiet">{NO_TRUTH}</span>')
        truth = aligned(never_seen(subject.seed, wanted), *subject.crop)
        measures = self.load().measure(edited, truth)
        return truth, compared(measures, "the edit", "the true answer")


def _keepsake(
    pair: Sequence[Image.Image], codes: Any, subject: Subject, changes: Mapping
) -> Keepsake:
    pictures = dict(zip(("inversion", "edited"), pair, strict=True))
    return Keepsake(pictures, codes, subject.parameters | {"changes": dict(changes)})


def remember(history: list[tuple], *changes: float) -> list[tuple]:
    """The history with the newest changes; moving one slider on and on is one entry."""
    before = history[-2] if len(history) > 1 else (0,) * len(changes)
    moved = sum(a != b for a, b in zip(before, changes, strict=True))
    return [*(history[:-1] if moved <= 1 else history), changes]


def undo(history: list[tuple], count: int = len(NOTHING)) -> tuple:
    """The history without its newest entry, and the values of `count` sliders then."""
    earlier = history[:-1]
    return earlier, *(earlier[-1] if earlier else (0,) * count)


def in_words(changes: dict[str, float], at: Setting = CLAY) -> str:
    """Changes as a sentence."""
    if not changes:
        return "Nothing is changed: this is the inversion."
    words = {attribute.name: attribute.word.lower() for attribute in at.attributes}
    parts = (f"{words[name]} {value:+g}" for name, value in changes.items())
    return f"Changed: {', '.join(parts)}."


def compute(
    pipeline: Any, name: str, seed: int, face: Image.Image, changes: Mapping[str, float]
) -> stored.Stored:
    """A result to store: the face, inverted, with attributes changed, and the true answer."""
    inversion = pipeline.invert(face, steps=STEPS)
    edited, truth = pipeline.manipulate(inversion, changes), never_seen(seed, dict(changes))
    measures, fidelity = pipeline.measure(edited, truth), pipeline.fidelity(face, inversion)
    values = {
        "seed": seed, "changes": dict(changes), "method": inversion.method,
        "seconds": inversion.seconds, "losses": inversion.losses,
        "measures": {
            "psnr": measures.psnr, "lpips": measures.lpips, "identity": measures.identity,
        },
        "fidelity": asdict(fidelity),
    }  # fmt: skip
    shown = {"picture": face, "inverted": inversion.image, "edited": edited, "truth": truth}
    codes = pipeline.keep(fresh_folder() / stored.CODES, {"w": inversion})
    return stored.Stored(name, values, shown, codes)


def _opened(pipeline: Any, entry: stored.Stored) -> Subject:
    """A stored result as if the visitor had inverted its picture."""
    fields = {key: entry.values[key] for key in ("method", "seconds", "losses")}
    others = {"w": {"image": entry.pictures["inverted"], **fields}}
    return _subject(entry, pipeline.restore(entry.codes, others)["w"])


def _subject(entry: stored.Stored, inversion: Any) -> Subject:
    return Subject(inversion, entry.pictures["picture"], entry.values["seed"], WHOLE, STEPS)


def _example(entry: stored.Stored) -> tuple:
    """Everything that a stored result puts on the page, in the order of the page's outputs."""
    p, v = entry.pictures, entry.values
    changes = tuple(v["changes"].get(attribute.name, 0) for attribute in CLAY.attributes)
    words = said(in_words(v["changes"]))
    words += compared(SimpleNamespace(**v["measures"]), "the edit", "the true answer")
    subject = _subject(entry, SimpleNamespace(losses=v["losses"]))
    keep = _keepsake((p["inverted"], p["edited"]), entry.codes, subject, v["changes"])
    shown = (p["picture"], v["seed"], p["inverted"], p["edited"], p["truth"], words)
    return *shown, faithful(SimpleNamespace(**v["fidelity"])), entry, [changes], keep, *changes


def build(load: Callable, at: Setting = CLAY) -> None:
    """Put this part into the open tab."""
    part, count = _Part(load, at), len(at.attributes)
    gr.HTML(SAYS.format(TRUTH if at.rendered else PHOTO) + _absent(at))
    found = PAPER.stored.read("manipulate") if at.rendered else []
    first = _example(found[0]) if found else ((None,) * 8 + ([], None) + (0,) * count)
    examples = stored.choice(found)
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            portrait = portrait_input(
                "Picture", "The picture to edit.", "indomain_manipulate_never_seen_portrait",
                *first[:2], domain=at.name, side=at.side, faces=at.faces,
            )  # fmt: skip
            steps, run, halt = run_buttons("Invert", fewest=10)
            fidelity = gr.HTML(first[6], elem_id="manipulate-fidelity")
        with gr.Column(scale=2, min_width=280):
            inverted, edited, truth = _images(at, first[2:5])
            words = gr.HTML(first[5], elem_id="manipulate-words")
            dials = _dials(at, first[10:])
            with gr.Row(equal_height=True):
                switch = gr.Checkbox(
                    label="Show the true answer", value=True, min_width=200, visible=at.rendered
                )
                back = gr.Button("Undo", size="md", min_width=90)
                reset = gr.Button("Reset", size="md", min_width=90)
    keep, _ = take_home("indomain_manipulate_files", first[9])
    subject, history, stop = gr.State(first[7]), gr.State(first[8]), gr.State(Stop())
    edit = ([subject, switch, *dials], [edited, truth, words, keep])
    stop_button(halt, stop, run)
    rest = 0 if count == 1 else [0] * count  # Gradio takes a list for one output as its value
    run.click(
        part.invert, [*portrait.origin, steps, stop],
        [inverted, fidelity, subject, history, keep],
        api_name="indomain_manipulate_invert", **run_options(fidelity),
    ).success(lambda: rest, None, dials, **QUIET).success(
        part.manipulate, *edit, api_name="indomain_manipulate", **GPU
    )  # fmt: skip
    if examples is not None:
        filled = [portrait.picture, portrait.seed, inverted, edited, truth, words, fidelity]
        filled += [subject, history, keep, *dials]
        stored.wire(examples, found, _example, filled, "indomain_stored_manipulation")
    _wire_edits(part, edit, dials, history, switch, back, reset)


def _wire_edits(part, edit, dials, history, switch, back, reset) -> None:
    answer = (part.manipulate, *edit)
    silent = GPU | QUIET | FOLLOW
    for dial in dials:
        dial.input(remember, [history, *dials], history, **QUIET, **FOLLOW).then(*answer, **silent)
    switch.input(*answer, **silent)
    count = len(dials)
    takes_back = (lambda h: undo(h, count)), (lambda _: ([], *(0,) * count))
    for button, change in zip((back, reset), takes_back, strict=True):
        button.click(change, history, [history, *dials], **QUIET).then(*answer, **silent)


def _absent(at: Setting) -> str:
    """Which attributes have no slider here, and why."""
    names = at.without("boundary-")
    if not names and at.attributes:
        return ""
    first = html.escape(at.why(names[0])) if names else "No boundary is published for it."
    listed = ", ".join(name.removeprefix("boundary-") for name in names) or "any attribute"
    return f'<div class="prose-page"><p class="aside">No slider for {listed}. {first}</p></div>'


def _dials(at: Setting, values: Sequence[float]) -> list[Dial]:
    dials = []
    pairs = list(zip(at.attributes, values, strict=True))
    for start in range(0, len(pairs), 2):
        with gr.Row():
            dials += [
                Dial(
                    a.low, a.high, value, step=(a.high - a.low) / 40, label=a.label, min_width=200,
                )
                for a, value in pairs[start : start + 2]
            ]  # fmt: skip
    return dials


def _images(at: Setting, values: Sequence[Any]) -> list[gr.Image]:
    described = {
        "Inversion": "The inverted picture.",
        "Edited": "The picture after the changes.",
        "True answer": "The same portrait rendered with the changes.",
    }
    with gr.Row():
        return [
            gr.Image(
                value, label=label, interactive=False, format="png", height=280, min_width=150,
                alt_text=alt, elem_classes="filled", buttons=["download", "fullscreen"],
                visible=at.rendered or label != "True answer",
            )
            for (label, alt), value in zip(described.items(), values, strict=True)
        ]  # fmt: skip
