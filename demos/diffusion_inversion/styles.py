"""The modulation of another style (Sec. 4.4, Fig. 10), beside the renderer's picture in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

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
            keep = subject.keepsake(pipeline, **{style: made.image})
        why = "" if true is not None else f' <span class="quiet">{NO_TRUTH}</span>'
        words = f"<b>{style.capitalize()}</b>, {made.calls} call, {made.seconds:.2f} s.{why}"
        shown = gr.update(value=true, visible=true is not None)
        return {"styled": made.image, "true_style": shown, "style_words": said(words), "keep": keep}


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


def build(at: Setting) -> StyleControls:
    """The styles that this domain has, and two pictures."""
    offered = [(style.capitalize(), style) for style in at.styles]
    style = gr.Radio(
        offered, value=None, label="Style", elem_classes="pills", elem_id="diffusion-style",
        visible=bool(offered),
    )  # fmt: skip
    words = gr.HTML(said(NONE if offered else "No T of a style is there for these pictures."))
    described = {
        "styled": ("Ours in this style", "Our picture in the style."),
        "true": ("The renderer's picture", "The renderer's picture of the portrait in the style."),
    }
    with gr.Row():
        images = {
            name: gr.Image(
                label=label, alt_text=alt, interactive=False, format="png", height=380,
                min_width=240, elem_classes="filled", buttons=["download", "fullscreen"],
                visible=bool(offered) and (at.rendered or name == "styled"),
                elem_id=f"diffusion-{name}",
            )
            for name, (label, alt) in described.items()
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
