"""What every part of the page shows alike: before and after, the new mask, the edits, the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component
from PIL import Image

from demos.editgan.session import HIGH, LOW, Subject, opened
from demos.editgan.truth import truth
from demos.kit import painter, part_masks
from demos.kit.bridge import CLAY, Done, Stop, spoken_errors, stream
from demos.kit.dials import Dials, dials
from demos.kit.downloads import Keepsake
from demos.kit.imaging import psnr, refuse
from demos.kit.inputs import aligned
from demos.kit.outputs import Values, filling
from demos.kit.painter import MaskPainter, Painting
from demos.kit.words import curve, decibels, running, said
from examples.editgan.results import PAINTED
from examples.stored import Stored

TIMES = 4  # a mask's pixels are shown and handed out enlarged
NO_SUBJECT = "There is no embedded picture yet. Press Embed first."


@dataclass(frozen=True)
class Panel:
    """The result's components and the session's states, by what they show."""

    pair: gr.ImageSlider
    report: gr.HTML
    mask: gr.Image
    answer: gr.Image
    verdict: gr.HTML
    scales: Dials
    library: Dials
    painter: MaskPainter
    parts: gr.Dropdown
    inferred: gr.State
    which: gr.Dropdown
    subject: gr.State
    own: gr.State
    keep: gr.State

    def outputs(self, *names: str) -> dict[str, Component]:
        """Some of the components, by name."""
        return {name: getattr(self, name) for name in names}

    @property
    def answering(self) -> dict[str, Any]:
        """The listener options that bring the true answer after an edit."""
        return {**filling(answered, self.outputs("answer", "verdict")), "inputs": self.subject}


CHANGED = ("subject", "pair", "mask", "painter", "keep", "which")  # by every edit


@dataclass(frozen=True)
class PageContents:
    """What stands on the page: nothing, or a stored example (`demos.editgan.example`)."""

    picture: Image.Image | None = None
    seed: int | None = None
    embedded: Image.Image | None = None
    embedding: str = ""
    subject: Stored | None = None
    pair: tuple[Image.Image, Image.Image] | None = None
    mask: Image.Image | None = None
    painter: Mapping[str, Any] = field(default_factory=lambda: painter.EMPTY)
    keep: Keepsake | None = None
    report: str = ""
    answer: Image.Image | None = None
    verdict: str = ""
    scales: Mapping[str, float] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    story: str = ""
    of: str | None = None
    steps: int = 100
    edit_steps: int = 100


def held(subject: Subject | Stored | None, load: Callable) -> Subject:
    """The embedded picture, a stored one's codes read now; `gr.Error` before there is one."""
    if subject is None:
        raise refuse(NO_SUBJECT)
    if isinstance(subject, Stored):
        with spoken_errors():
            return opened(load(), subject)
    return subject


def shown(pipeline: Any, subject: Subject, before: np.ndarray, painting: Painting | None) -> Values:
    """What an edit changes on the page, `CHANGED`.

    Strokes that were painted on the mask `before` stay, laid over the new mask.
    """
    mask = subject.now.mask
    painting = painting or Painting(before, 0)
    carried = part_masks.carried(painting.labels, before, mask)
    carried = Painting(carried, painting.part, painting.labels)
    return {
        "subject": subject,
        "pair": (subject.embedding.image, subject.now.image),
        "mask": mask_picture(mask, pipeline.palette),
        "painter": painter.continued(subject.now.image, mask, carried),
        "keep": keepsake(pipeline, subject),
        "which": choice(subject),
    }


def choice(subject: Subject) -> Any:
    """The edits in the picture to choose one from, the newest chosen."""
    names = list(subject.edits)
    return gr.update(choices=names, value=names[-1] if names else None)


def mask_picture(labels: np.ndarray, palette: np.ndarray, times: int = TIMES) -> Image.Image:
    """A mask in its palette's colours, enlarged; a PNG of it keeps the palette."""
    picture = Image.fromarray(part_masks.enlarged(labels, times), "P")
    picture.putpalette(np.asarray(palette, np.uint8).tobytes())
    return picture


def keepsake(pipeline: Any, subject: Subject, codes: Path | None = None) -> Keepsake:
    """The pictures, codes and parameters to take home; codes: the file that holds them already."""
    parameters = {
        "method": "EditGAN",
        "seed": subject.seed,
        "sample": subject.sample,
        "crop": subject.crop,
        "steps": subject.steps,
        "steps_done": len(subject.embedding.losses),
        "seconds": subject.embedding.seconds,
        "edits": [
            {"name": name, "scale": scale, "q_edit": list(vector.q_edit)} | _made(subject, name)
            for name, (vector, scale) in subject.edits.items()
        ],
        "parts": list(pipeline.parts),
    }
    pictures = {
        "picture": subject.source,
        "embedding": subject.embedding.image,
        "edited": subject.now.image,
        "mask": mask_picture(subject.now.mask, pipeline.palette),
    }
    about = {"method": "EditGAN", "domain": CLAY}
    about |= {} if codes else {"generator": pipeline.fingerprint}
    codes = codes or {"embedding": subject.embedding.w, "edited": subject.now.w}
    return Keepsake(pictures, codes, parameters, about)


def _made(subject: Subject, name: str) -> dict[str, Any]:
    """How an edit was optimised; nothing for a vector that was only added."""
    return asdict(subject.made[name]) if name in subject.made else {}


def answered(subject: Subject | None) -> Values:
    """The true answer to this session's edits where the renderer knows it, and how far it is."""
    scales = subject.asked if subject else {}
    picture = truth(subject.seed, scales) if scales and subject.from_library else None
    if picture is None:
        return {"answer": gr.update(value=None, visible=False), "verdict": _no_truth(subject)}
    picture = aligned(picture, *subject.crop)
    answer = gr.update(value=picture, visible=True)
    return {"answer": answer, "verdict": verdict(subject, picture)}


def verdict(subject: Subject, answer: Image.Image) -> str:
    """How far the edit is from the true answer, and how far the unedited picture was."""
    names = ", ".join(name.removeprefix(PAINTED) for name in subject.asked)
    return said(
        f"The true answer is the same person rendered with this change: {escape(names)}. The edit "
        f"is {decibels(psnr(subject.now.image, answer))} from it, the unedited picture "
        f"{decibels(psnr(subject.embedding.image, answer))}."
    )


def _no_truth(subject: Subject | None) -> str:
    if subject is None or not subject.edits:
        return ""
    if subject.sample is not None:
        reason = "the model made this picture up, and the renderer never drew it"
    elif subject.seed is None:
        reason = "only a rendered portrait has one"
    else:
        reason = "the renderer knows it for library vectors alone"
    return said(f'<span class="quiet">No true answer here: {reason}.</span>')


def live(work: Callable, before: Image.Image, stop: Stop) -> Iterator[Values]:
    """Run an optimisation: yields report and pictures; its result."""
    for news in stream(work, stop):
        if isinstance(news, Done):
            return news.result
        pair = {"pair": (before, news.images[0])} if news.images else {}
        yield pair | {"state": running(news), "report": curve(news.losses)}


def build_result(page: PageContents) -> dict[str, Component]:
    """Before and after, report, new mask, true answer and its verdict, and the edits so far."""
    pair = gr.ImageSlider(
        page.pair, label="Before and after", format="png", height=360, elem_id="editgan-compare",
        interactive=False,
        buttons=["fullscreen"], elem_classes="filled",
    )  # fmt: skip
    report = gr.HTML(page.report, elem_id="editgan-report")
    with gr.Row():
        mask = gr.Image(
            page.mask, label="New mask", interactive=False, format="png", height=230,
            alt_text="The part mask of the edited picture.", elem_id="editgan-mask", min_width=130,
            buttons=["download", "fullscreen"], elem_classes="filled",
        )  # fmt: skip
        answer = gr.Image(
            page.answer, label="True answer", interactive=False, format="png", height=230,
            alt_text="The same portrait rendered with the edits.", elem_id="editgan-answer",
            buttons=["download", "fullscreen"], elem_classes="filled", min_width=130,
            visible=page.answer is not None,
        )  # fmt: skip
    verdict = gr.HTML(page.verdict, elem_id="editgan-verdict")
    gr.HTML('<div class="prose-page"><h2>Edits in the picture</h2></div>')
    scales = dials(
        LOW, HIGH, "None yet: paint a mask, or move a slider of the library.",
        value=page.scales, elem_id="editgan-history",
    )  # fmt: skip
    return {
        "pair": pair, "report": report, "mask": mask, "answer": answer, "verdict": verdict,
        "scales": scales,
    }  # fmt: skip
