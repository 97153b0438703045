"""The modulation of another style (Sec. 4.4, Fig. 10), beside the renderer's picture in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component
from PIL import Image

from demos.diffusion_inversion.session import Subject, held
from demos.diffusion_inversion.setting import Setting
from demos.kit.bridge import spoken_errors
from demos.kit.imaging import refuse
from demos.kit.inputs import FOLLOW, GPU
from demos.kit.outputs import Values, filling
from demos.kit.words import said

NONE = "Choose a style: the same U-Net call is read by the T that was trained for it."
NO_TRUTH = "Nobody knows how this head looks in it: it is of no portrait that the renderer drew."


@dataclass(frozen=True)
class _Part:
    load: Callable
    at: Setting

    def restyle(self, subject: Subject | None, style: str | None) -> Values:
        """This session's prompt and mask or scribble in one of the styles; and the true picture."""
        subject = held(subject)
        if style not in self.at.styles:
            raise refuse(f"The style must be one of {', '.join(self.at.styles)}; got {style!r}.")
        asked = subject.asked
        with spoken_errors():
            pipeline = self.load()
            condition = asked.condition(pipeline)
            made = pipeline.read(asked.prompt, condition, style=style, **asked.options)
            true = asked.true_style(style)
            keep = subject.keepsake(pipeline, **{style: made})
        true_style = gr.update(value=true, visible=true is not None)
        return shown(style, made, true) | {"true_style": true_style, "keep": keep}


def shown(style: str, made: Any, true: Image.Image | None) -> Values:
    """The part with a style's picture beside the renderer's."""
    why = "" if true is not None else f' <span class="quiet">{NO_TRUTH}</span>'
    words = f"<b>{style.capitalize()}</b>, {made.calls} call, {made.seconds:.2f} s.{why}"
    return {"styled": made.image, "true_style": true, "style_words": said(words)}


@dataclass(frozen=True)
class StyleControls:
    """The part's components."""

    style: gr.Radio
    styled: gr.Image
    true: gr.Image
    words: gr.HTML

    @property
    def outputs(self) -> dict[str, Component]:
        return {
            "style": self.style, "styled": self.styled, "true_style": self.true,
            "style_words": self.words,
        }  # fmt: skip


def build(at: Setting, first: Values = MappingProxyType({})) -> StyleControls:
    """The styles that this domain has, and two pictures; first: as `shown` has them."""
    offered = [(style.capitalize(), style) for style in at.styles]
    style = gr.Radio(
        offered, value=first.get("style"), label="Style", elem_classes="pills",
        elem_id="diffusion-style", visible=bool(offered),
    )  # fmt: skip
    none = said(NONE if offered else "No T of a style is there for these pictures.")
    words = gr.HTML(first.get("style_words", none))
    described = {
        "styled": ("styled", "Ours in this style", "Our picture in the style."),
        "true": ("true_style", "The renderer’s picture", "The renderer’s picture of the portrait."),
    }
    with gr.Row():
        images = {
            name: gr.Image(
                first.get(key), label=label, alt_text=alt, interactive=False, format="png",
                height=380, min_width=240, elem_classes="filled",
                buttons=["download", "fullscreen"], elem_id=f"diffusion-{name}",
                visible=bool(offered) and (at.rendered or name == "styled"),
            )
            for name, (key, label, alt) in described.items()
        }  # fmt: skip
    return StyleControls(style, **images, words=words)


def cleared(at: Setting) -> Values:
    true = gr.update(value=None, visible=at.rendered)
    return {"style": None, "styled": None, "true_style": true, "style_words": said(NONE)}


def wire(load: Callable, at: Setting, ui: StyleControls, subject: gr.State, keep: gr.State) -> None:
    """Restyle as soon as a style is chosen."""
    ui.style.input(
        **filling(_Part(load, at).restyle, ui.outputs | {"keep": keep}),
        inputs=[subject, ui.style], api_name="diffusion_restyle", **GPU, **FOLLOW,
    )  # fmt: skip
