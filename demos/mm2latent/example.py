"""Stored examples: a request with its pictures, and an edit beside its true answer.

To show one, no network runs and nothing is rendered. The first thing that a visitor does with it
goes on as if the visitor had made it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np

from demos.kit import stored
from demos.kit.outputs import Values
from demos.kit.runs import mark
from demos.kit.words import said
from demos.mm2latent import conditions, generate, trail
from demos.mm2latent.asked import Asked, Drawn, told_apart
from demos.mm2latent.edit import PIVOT, EditControls
from demos.mm2latent.generate import RESULT, GenerateControls
from demos.mm2latent.setting import CLAY_HEADS, HEAD, IN_TEXT, MASK, NONE, SKETCH
from demos.mm2latent.trail import EDITED, INVERTED, TEXT, WHOLE, Example
from demos.mm2latent.truth import Start
from examples.stored import Stored

STORY = said(
    '<span class="quiet">This edit is an example: keep it, take it back, or ask for another.</span>'
)


def request(entry: Stored) -> dict[str, Any]:
    """Everything that a stored request puts on the page, by name."""
    p, v, kind = entry.pictures, entry.values, entry.values["kind"]
    mask, lines = np.array(p["mask"]), np.array(p["sketch"])
    given = {MASK: mask, SKETCH: lines > 0, HEAD: v["numbers"]}
    asked = Asked(v["prompt"], {kind: given[kind]}, Start(v["seed"], mask))
    found = {
        name: SimpleNamespace(
            image=p[name], scores=SimpleNamespace(**scores), condition=kind, notes=()
        )
        for name, scores in v["scores"].items()
    }
    first = {n: r for n, r in found.items() if not n.startswith("variation")}
    varied = {n: r for n, r in found.items() if n not in first}
    holds = _holds(entry)
    painted = {name: holds[name]["value"] for name in (MASK, SKETCH)}
    draw = Drawn(v["variety"], v["unsaid"], len(varied), v["first"])
    of = told_apart(
        v["prompt"],
        kind,
        painted[MASK],
        painted[SKETCH],
        v["numbers"],
        *draw.told_apart,
    )
    return holds | {
        "prompt": v["prompt"], "kind": kind, "variety": v["variety"],
        "unsaid": v["unsaid"], "many": len(varied),
        "seeds": v["first"], "picture": p["picture"], "seed": v["seed"],
        **dict(zip(("x", "y", "zoom"), WHOLE, strict=True)),
        "image": p[RESULT], "words": generate.worded(found[RESULT], asked, CLAY_HEADS),
        "strip": generate.strip(asked, first, p["truth"]), "grid": generate.grid(varied),
        "keep": generate.kept(asked, found, draw, entry.codes, CLAY_HEADS, {}),
        "asked": asked, "start": asked.start, "of": of,
        "taken": mark(kind, p["picture"], *WHOLE),
    }  # fmt: skip


def edited(entry: Stored) -> dict[str, Any]:
    """Everything that a stored edit puts on the page, by name."""
    p, v, how = entry.pictures, entry.values, entry.values["kind"]
    holds = _holds(entry)
    asked = v["target"] or v["drawn"]
    if how == HEAD:
        holds[HEAD] = v["numbers"] | v["drawn"]
    told = f"{v['target'] or IN_TEXT[how]}, β {v['beta']:g}"
    found = SimpleNamespace(
        **v["of_edit"] | {"scores": SimpleNamespace(**v["of_edit"]["scores"])}, notes=()
    )
    pictures = {name: p[name] for name in ("picture", INVERTED, EDITED)}
    return holds | {
        "picture": p["picture"], "seed": v["seed"], "of": mark(p["picture"], *WHOLE),
        **dict(zip(("x", "y", "zoom"), WHOLE, strict=True)),
        "how": how, "target": v["target"], "pivot": PIVOT, "beta": v["beta"],
        "pair": (p[INVERTED], p[EDITED]),
        "words": trail.worded(found, how, v["target"], CLAY_HEADS),
        "truth": p["truth"], "verdict": trail.judged(SimpleNamespace(**v["measures"]), v["beta"]),
        "story": STORY, "trail": Example(entry, how, asked, v["beta"], told),
        "keep": trail.kept(
            pictures, entry.codes, (v["seed"], WHOLE, [told]), CLAY_HEADS, {}
        ),
    }  # fmt: skip


def _holds(entry: Stored) -> dict[str, Any]:
    """What the painters and the head hold of an example."""
    p = entry.pictures
    picture = p.get(INVERTED, p["picture"])
    found = {kind: conditions.opened(kind, picture, np.array(p[kind])) for kind in (MASK, SKETCH)}
    return found | {HEAD: entry.values["numbers"]}


def wire(
    names: gr.HTML | None,
    found: list[Stored],
    shows: Callable[[Stored], Mapping[str, Any]],
    controls: GenerateControls | EditControls,
) -> None:
    """Choosing a stored example by its name puts all of it on the page; shows: `request` or
    `edited`."""
    if names is None:
        return
    outputs = controls.outputs | controls.stored

    def show(entry: Stored) -> Values:
        values = dict(shows(entry))
        kind = values.get("kind", values.get("how"))
        values |= {name: gr.update(**values[name]) for name in (MASK, SKETCH)}
        values |= conditions.seen(kind)
        if "how" in values:
            values["by words"] = gr.update(visible=kind == TEXT)
            values["answer"] = gr.update(value=values.pop("truth"), visible=True)
        else:
            values["begin"] = gr.update(visible=kind != NONE)
        return values

    stored.wire(names, found, show, outputs)
    stored.unmark(names, *controls.portrait.brought)
