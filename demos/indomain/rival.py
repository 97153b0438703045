"""The same edit on the code that Image2StyleGAN finds, beside the in-domain one (suppl. Fig. 8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from gradio.components import Component
from PIL import Image

from demos.indomain.setting import METHODS
from demos.kit.downloads import Keepsake
from demos.kit.outputs import Values
from demos.kit.runs import RunControls, run_button
from demos.kit.words import decibels, said

RIVAL = "image2stylegan"
ROWS = ("in-domain", RIVAL)
SAYS = """<div class="prose-page"><p class="aside">Image2StyleGAN copies the pixels, and nothing
keeps its code where the generator knows what a face is. It needs a search of its own; after that
the sliders move both.</p></div>"""
COPY = """Copy: the inversion beside the picture, PSNR in dB, the likeness of pixels: higher is
better."""
TO_TRUTH = f"""{COPY} Edit: beside the true answer, PSNR in dB. LPIPS: its difference from that to
the eye, lower is better; the lowest is marked. Person: whether a face judge sees the same one in
both, from -1 to 1."""
TO_PICTURE = f"""{COPY} Person: whether a face judge sees the same one in the edit as in the
picture, from -1 to 1. There is no true answer here to hold the edit against."""
NOTHING = {"rival": None, **dict.fromkeys(ROWS), "against": ""}  # before there is a comparison


@dataclass(frozen=True)
class Edited:
    """One method's code of a picture, and its picture after the changes."""

    inversion: Any
    image: Image.Image


def numbers(
    measure: Callable, picture: Image.Image, pair: Mapping[str, Edited], truth: Image.Image | None
) -> dict[str, dict[str, float | None]]:
    """Each method's likeness: of the inversion to the picture, of the edit to the true answer, or
    to the picture where that is not known. measure: two pictures -> their measures."""
    found = {}
    for method, edited in pair.items():
        inverted = edited.inversion.measures or measure(picture, edited.inversion.image)
        after = measure(truth or picture, edited.image)
        found[method] = {
            "inversion": inverted.psnr, "psnr": after.psnr, "lpips": after.lpips,
            "identity": after.identity,
        }  # fmt: skip
    return found


def table(found: Mapping[str, Mapping[str, float | None]], known: bool) -> str:
    """The numbers as an HTML table; known: whether the edits are beside their true answer."""
    columns: dict[str, Callable[[Mapping], str]] = {
        "Copy": lambda n: decibels(n["inversion"]).removesuffix(" dB"),
    }
    if known:
        columns["Edit"] = lambda n: decibels(n["psnr"]).removesuffix(" dB")
        columns["LPIPS"] = lambda n: f"{n['lpips']:.3f}"
    if any(n["identity"] is not None for n in found.values()):
        columns["Person"] = lambda n: f"{n['identity']:.2f}"
    best = min(found, key=lambda method: found[method]["lpips"]) if known else ""
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name in columns)
    rows = "".join(
        f'<tr{" class=best" if method == best else ""}><th scope="row">{METHODS[method][0]}</th>'
        + "".join(f'<td class="number">{say(n)}</td>' for say in columns.values())
        + "</tr>"
        for method, n in found.items()
    )
    says = TO_TRUTH if known else TO_PICTURE
    return f"""<div class="scroll"><table class="numbers"><caption>{says}</caption>
<thead><tr><th scope="col">Method</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"""


def against(
    measure: Callable,
    picture: Image.Image,
    pair: Mapping[str, Edited],
    truth: Image.Image | None,
    words: str,
) -> Values:
    """What the comparison shows of two edits; words: what was changed."""
    found = numbers(measure, picture, pair, truth)
    shown = {method: edited.image for method, edited in pair.items()}
    return shown | {"against": said(words) + table(found, truth is not None)}


def kept(keep: Keepsake, edited: Edited, w: Any) -> Keepsake:
    """The files of an edit with those of the other method's first; w: the edited code."""
    pictures = {RIVAL: edited.inversion.image, f"{RIVAL}-edited": edited.image}
    codes = {RIVAL: edited.inversion.w, f"{RIVAL}-edited": w}
    done = {"compared": {"method": RIVAL, "steps_done": len(edited.inversion.losses)}}
    return replace(
        keep, pictures=pictures | dict(keep.pictures), codes=codes | dict(keep.codes),
        parameters={**keep.parameters, **done},
    )  # fmt: skip


def build() -> tuple[RunControls, dict[str, Component]]:
    """The button, and what it fills, by name."""
    with gr.Accordion("Beside Image2StyleGAN", open=False):
        gr.HTML(SAYS)
        ui = run_button("Compare")
        with gr.Row():
            shown: dict[str, Component] = {
                method: gr.Image(
                    label=METHODS[method][0], interactive=False, format="png",
                    height=280, min_width=150, elem_classes="filled",
                    elem_id=f"manipulate-{method}",
                    alt_text=f"The picture after the changes, on the code by {METHODS[method][0]}.",
                    buttons=["download", "fullscreen"],
                )
                for method in ROWS
            }  # fmt: skip
        words = gr.HTML(elem_id="manipulate-against")
    return ui, {"rival": gr.State(), **shown, "against": words}
