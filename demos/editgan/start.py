"""The picture: a never-seen portrait, a painting or one's own, embedded into W+ (Sec. 3.2), or a
sample of the generator, whose code is known (Sec. 3.3)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from PIL import Image

from demos.editgan.panel import CHANGED, PageContents, Panel, choice, keepsake, mask_picture
from demos.editgan.session import HIGH, LOW, WHOLE, Subject
from demos.kit import painter, stored
from demos.kit.beside import laid_out
from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.dials import relisted
from demos.kit.downloads import Sent
from demos.kit.handover import known, with_code
from demos.kit.imaging import SIDE
from demos.kit.inputs import (
    FOLLOW,
    GPU,
    QUIET,
    PortraitInput,
    aligned,
    picture_of,
    portrait_input,
)
from demos.kit.outputs import Values, filling
from demos.kit.portraits import seed_of
from demos.kit.runs import Belonging, RunControls, mark, run_buttons, wire_run
from demos.kit.words import curve, decibels, running, said, step_count

PAINTINGS = Path(__file__).parents[2] / "examples" / "editgan" / "paintings"
FIRST_PART = "upper lip"
SAMPLES = 1_000_000  # the button's samples have numbers below
FAR = 0.9  # LPIPS: as far as a validation portrait is from itself blurred by 4 px


@dataclass(frozen=True)
class _Part:
    load: Callable

    @stoppable
    def embed(
        self, picture, x: float, y: float, zoom: float, seed: int | None, steps: int, own: dict,
        given: dict, stop: Stop,
    ) -> Iterator[Values]:  # fmt: skip
        """Embed a picture for editing; it stays in this session with its part mask.

        The true answer to an edit is known when the picture is the never-seen portrait of `seed`.
        Yields the embedding, a report, the pictures, the mask and the painter's value.
        """
        picture = picture_of(picture, seed)
        source, seed = aligned(picture, x, y, zoom), seed_of(picture, seed)

        def work(on_step):
            w = known(given, source, self.load())
            if w is not None:
                return self.load().placed(w, source)
            return self.load().embed(source, steps=int(steps), on_step=on_step)

        for news in stream(work, stop):
            if not isinstance(news, Done):
                shown = {"embedded": news.images[0]} if news.images else {}
                yield shown | {"state": running(news), "embedding": curve(news.losses)}
                continue
            found = news.result
            subject = Subject(found, source, seed, (x, y, zoom), {}, found, int(steps))
            with spoken_errors():
                words = embedded_report(found, stop.pressed)
                shown = {"embedded": found.image, "embedding": words}
                yield shown | _begun(self.load(), subject, own)

    def sample(self, own: dict, given: dict) -> Values:
        """Take a random picture of the generator's own for editing, with its exact code and mask.

        It is there at once, without a press of Embed; what was made of the picture before is gone.
        """
        number = random.SystemRandom().randrange(SAMPLES)
        with spoken_errors():
            pipeline = self.load()
            found = pipeline.sample(number)
            picture = found.image
            subject = Subject(found, picture, None, WHOLE, {}, found, sample=number)
            begun = _begun(pipeline, subject, own)
        x, y, zoom = WHOLE
        sent = Sent(picture, found.w, pipeline.fingerprint)
        shown = {
            "picture": picture, "x": x, "y": y, "zoom": zoom, "seed": None,
            "of": mark(picture, *WHOLE), "given": with_code(given, sent, SIDE),
            "embedded": picture, "embedding": sampled_report(number), "state": "",
        }  # fmt: skip
        return forgotten() | begun | shown


def sampled_report(number: int) -> str:
    """What a sample is, in words."""
    return said(
        f"Sample {number} of the model. The generator made it up, so its code is known and nothing "
        "had to be searched; the part map is the one that goes with it."
    )


def embedded_report(found: Any, stopped: bool = False) -> str:
    """How long an embedding took, and how near it is, in words, with the loss curve."""
    words = said(
        f"{'Stopped' if stopped else 'Embedded'} after {step_count(found.losses)} and "
        f"{found.seconds:.1f} s. The embedding is {decibels(found.measures.psnr)} from "
        f"the picture (LPIPS {found.measures.lpips:.3f})."
    )
    if found.measures.lpips > FAR:
        words += said(
            "That is <b>far away</b>: what is edited is the nearest clay portrait that the "
            "generator can make, not this picture.",
            outside=True,
        )
    return words + curve(found.losses)


def _begun(pipeline: Any, subject: Subject, own: dict) -> Values:
    """What a new picture puts on the page."""
    names, mask = pipeline.parts, subject.now.mask
    part = names.index(FIRST_PART) if FIRST_PART in names else 1
    opened = painter.begun(subject.now.image, mask, names, pipeline.palette, part)
    rows = library_rows({**pipeline.library, **own})
    return {
        "subject": subject, "pair": (subject.now.image, subject.now.image),
        "mask": mask_picture(mask, pipeline.palette), "painter": opened,
        "keep": keepsake(pipeline, subject), "which": choice(subject),
        "library": relisted(LOW, HIGH, rows, {}), "scales": [], "report": said(),
        "parts": gr.update(choices=list(names), value=[]), "inferred": [],
    }  # fmt: skip


def forgotten() -> Values:
    """The page without a picture: what was made of the one before is gone, its edits too."""
    empty = dict.fromkeys(("subject", "pair", "mask", "keep", "embedded"))
    return empty | {
        "painter": gr.update(**painter.EMPTY), "which": gr.update(choices=[], value=None),
        "library": relisted(LOW, HIGH, [], {}), "scales": [], "report": "", "embedding": "",
        "parts": gr.update(value=[]), "inferred": [], "verdict": "", "story": "",
        "answer": gr.update(value=None, visible=False), **laid_out([]),
    }  # fmt: skip


def library_rows(vectors: dict[str, Any], scales: Mapping[str, float] | None = None) -> list[list]:
    """Name, note, thumbnail and scale of every vector, for its slider."""
    scales = scales or {}
    return [[name, _note(v), _thumbnail(v), scales.get(name, 0)] for name, v in vectors.items()]


def _note(vector: Any) -> str:
    measured = vector.success or {}
    if "success" not in measured or "portraits" not in measured:
        return "of your own, not measured"
    count = measured["portraits"]
    return f"works on {measured['success'] * count:.0f} of {count:.0f} other portraits"


def _thumbnail(vector: Any) -> str:
    return "" if vector.thumbnail is None else painter.data_uri(vector.thumbnail)


def _paintings() -> dict[str, Path]:
    return {
        path.stem.replace("-", " ").capitalize(): path for path in sorted(PAINTINGS.glob("*.png"))
    }


def painting(name: str) -> tuple[Image.Image, None]:
    """A stored painting by its name: a test portrait turned into flat or painterly colours."""
    with Image.open(_paintings()[name]) as file:
        return file.convert("RGB"), None


@dataclass(frozen=True)
class PictureControls:
    """The picture's components; `embedding` is the report on it."""

    portrait: PortraitInput
    run: RunControls
    of: gr.State
    embedded: gr.Image
    embedding: gr.HTML
    paintings: gr.Radio

    @property
    def outputs(self) -> dict[str, Component]:
        """What a stored example fills of them."""
        return {
            "picture": self.portrait.picture, "seed": self.portrait.seed,
            "embedded": self.embedded, "embedding": self.embedding, "of": self.of,
        }  # fmt: skip


def build_input(page: PageContents) -> PictureControls:
    """The picture with its crop, the button that embeds it, and the embedding."""
    with gr.Row():
        with gr.Column(min_width=280):
            portrait = portrait_input(
                "Picture",
                "The picture to edit.",
                "editgan_never_seen_portrait",
                page.picture,
                page.seed,
                other="A sample of the model",
            )
            paintings = gr.Radio(
                list(_paintings()), value=None, label="Paintings, which the generator never saw",
                info="Test portraits turned into paintings by image filters.",
                elem_classes="bare", visible=bool(_paintings()),
            )  # fmt: skip
        with gr.Column(min_width=280):
            embedded = gr.Image(
                page.embedded, label="Embedding: what the generator makes of it",
                interactive=False, height=366, format="png", buttons=["fullscreen"],
                alt_text="The generator's nearest picture.", elem_classes="filled",
                elem_id="editgan-embedded",
            )  # fmt: skip
            run = run_buttons("Embed", fewest=10, steps=page.steps)
            report = gr.HTML(page.embedding, elem_id="editgan-embedding-report")
    return PictureControls(portrait, run, gr.State(page.of), embedded, report, paintings)


def wire(
    load: Callable,
    panel: Panel,
    ui: PictureControls,
    besides: Mapping[str, Component],
    given: gr.State,
    names: stored.Examples | None,
) -> None:
    """Connect the input to the page; `besides` is what else goes with another picture, `names` the
    examples that can be chosen."""
    part, portrait = _Part(load), ui.portrait
    outputs = {"embedded": ui.embedded, "embedding": ui.embedding}
    outputs |= panel.outputs(*CHANGED, "library", "scales", "report", "parts", "inferred")
    every = outputs | panel.outputs("answer", "verdict") | besides
    inputs = [*portrait.origin, ui.run.steps, panel.own, given]
    results = Belonging(portrait.origin, ui.of, every, forgotten, portrait.meant)
    results = stored.marked(names, results)
    stored.unmark(names, portrait.other.click)
    ran = wire_run(ui.run, part.embed, outputs, inputs, "editgan_embed", results)
    ran.success(**panel.answering, **QUIET, **FOLLOW)
    sampled = every | portrait.named | {"of": ui.of, "given": given, "state": ui.run.state}
    portrait.other.click(
        **filling(part.sample, sampled), inputs=[panel.own, given], api_name="editgan_sample",
        **GPU | {"show_progress": "minimal", "show_progress_on": [ui.embedded]},
    )  # fmt: skip
    ui.paintings.input(
        painting, ui.paintings, [portrait.picture, portrait.seed], api_name="editgan_painting",
        show_progress="hidden",
    )  # fmt: skip
