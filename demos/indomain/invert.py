"""Four inversion methods on one picture, side by side (main paper Fig. 3, suppl. Fig. 1)."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gradio as gr

from demos.indomain import PAPER
from demos.indomain.setting import CLAY_HEADS, METHODS, WHOLE, Setting, inversion_of, origin
from demos.kit import stored
from demos.kit.address import Opening, into_portrait
from demos.kit.bridge import Done, Stop, spoken_errors, stoppable, stream
from demos.kit.downloads import Keepsake, take_home
from demos.kit.handover import Exchange
from demos.kit.inputs import aligned, picture_of, portrait_input
from demos.kit.outputs import Values
from demos.kit.runs import Belonging, mark, run_buttons, wire_run
from demos.kit.words import curve, decibels, faithful, running, said
from examples.indomain.results import STEPS
from examples.stored import Stored

COLUMNS: dict[str, Callable[[dict], str]] = {
    "Pixels (PSNR, dB)": lambda n: decibels(n["psnr"]).removesuffix(" dB"),
    "To the eye (LPIPS)": lambda n: f"{n['lpips']:.3f}",
    "Same person": lambda n: _identity(n["identity"]),
    "Time, s": lambda n: f"{n['seconds']:.1f}",
}
MEASURED = """Against the input. PSNR, the likeness of pixels: higher is better. LPIPS, the
difference to the eye: lower is better; the lowest is marked."""
JUDGED = " Same person, as a face judge sees it, from -1 to 1: higher is better."
COUNTS = {2: "both", 3: "all three", 4: "all four"}
SAYS = """<div class="prose-page"><p class="aside">Encoders answer in one pass, two methods
optimise. A good copy of the pixels is not everything: try the same picture under Manipulate.
</p></div>"""


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
        """Invert a picture by every method.

        Yields the pictures, a table with PSNR, LPIPS, identity and seconds, a report and the
        same numbers as JSON. The seed goes into the parameters when the picture is its never-seen
        portrait.
        """
        picture = picture_of(picture, seed)
        image = aligned(picture, x, y, zoom, self.at.side)
        found: dict[str, Any] = {}
        numbers: dict[str, dict[str, float]] = {}
        for method in self.at.methods:
            for news in self._stream(image, method, steps, given, stop):
                if isinstance(news, Done):
                    found[method] = news.result
                    numbers[method] = _numbers(news.result)
                else:
                    shown = self._pictures({**found, method: news})
                    yield shown | {"state": self._state(method, news), "report": curve(news.losses)}
            yield self._finished(found, numbers) | {"report": ""}
            if stop.pressed:
                break
        whence = self.at.origin(picture, x, y, zoom, seed)
        end = self._end(image, found, numbers, {"picture": whence, "steps": int(steps)})
        yield self._finished(found, numbers) | end

    def _pictures(self, found: dict) -> dict[str, Any]:
        """Each method's picture by its name: finished, on its way, or not begun."""
        return {method: _picture(found.get(method)) for method in self.at.methods}

    def _state(self, method: str, news) -> str:
        """How far all methods are by their optimisations, beside which encoders take no time."""
        slow = [m for m in self.at.methods if not m.endswith(("conventional", "guided"))]
        if method not in slow:
            return said(f"<b>{METHODS[method][0]}</b>")
        progress = running(news, slow.index(method), len(slow))
        return said(f"<b>{METHODS[method][0]}</b>") + progress

    def _finished(self, found: dict, numbers: dict) -> dict[str, Any]:
        """The pictures with the numbers of the methods that are done."""
        return self._pictures(found) | {"table": table(numbers), "numbers": numbers}

    def _stream(self, image, method, steps, given, stop) -> Iterator:
        def work(on_step):
            options = {"method": method, "steps": int(steps), "on_step": on_step}
            return inversion_of(self.load(), image, given, **options)

        return stream(work, stop)

    def _end(self, image, found, numbers, parameters: dict) -> dict[str, Any]:
        with spoken_errors():
            fidelity = self.load().fidelity(image, list(found.values())[-1])
        keep = Keepsake(
            {"picture": image, **{method: i.image for method, i in found.items()}},
            {method: inversion.w for method, inversion in found.items()},
            {
                **parameters,
                "steps_done": {method: len(i.losses) for method, i in found.items()},
                "methods": numbers,
            },
            self.at.about(self.load()),
        )
        return {"report": faithful(fidelity), "keep": keep}


def _identity(cosine: float | None) -> str:
    return "no verdict" if cosine is None else f"{cosine:.2f}"


def _numbers(inversion: Any) -> dict[str, float | None]:
    measures = inversion.measures
    return {
        "psnr": measures.psnr,
        "lpips": measures.lpips,
        "identity": measures.identity,
        "seconds": inversion.seconds,
    }


def _example(entry: Stored) -> dict[str, Any]:
    """Everything that a stored result puts on the page."""
    picture, v = entry.pictures["picture-1"], entry.values
    images = {method: entry.pictures[f"{method}-1"] for method in METHODS}
    report = faithful(SimpleNamespace(**v["fidelity"]))
    parameters = {"picture": origin(v["seed"]), "steps": STEPS, "methods": v["numbers"]}
    keep = Keepsake({"picture": picture, **images}, {}, parameters)
    shown = {"table": table(v["numbers"]), "report": report, "keep": keep}
    inputs = {"picture": picture, "seed": v["seed"], "of": mark(picture, *WHOLE)}
    return inputs | images | shown


def _picture(value: Any) -> Any:
    if value is None:
        return None
    if hasattr(value, "images"):
        return value.images[0] if value.images else gr.skip()
    return value.image


def table(numbers: dict[str, dict[str, float]]) -> str:
    """The numbers of each method as an HTML table, the best LPIPS marked."""
    best = min(numbers, key=lambda method: numbers[method]["lpips"]) if numbers else ""
    judged = any(n["identity"] is not None for n in numbers.values())
    columns = {name: say for name, say in COLUMNS.items() if judged or name != "Same person"}
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name in columns)
    rows = "".join(_row(m, numbers[m], columns, m == best) for m in numbers)
    return f"""<div class="scroll"><table class="numbers"><caption>{MEASURED}{JUDGED * judged}
</caption><thead><tr><th scope="col">Method</th>{head}</tr></thead>
<tbody>{rows}</tbody></table></div>"""


def _row(method: str, n: dict[str, float], columns: Mapping[str, Callable], best: bool) -> str:
    cells = "".join(f'<td class="number">{say(n)}</td>' for say in columns.values())
    return f"""<tr{' class="best"' if best else ""}><th scope="row">{METHODS[method][0]}</th>{cells}
</tr>"""


def build(load: Callable, exchange: Exchange, at: Setting = CLAY_HEADS) -> Opening:
    """Put this part into the open tab; returns its first input."""
    part, count = _Part(load, at), len(at.methods)
    gr.HTML(SAYS + "".join(_absent(method, at) for method in METHODS if method not in at.methods))
    found = PAPER.stored.read("invert") if at.rendered else []
    first = _example(found[0]) if found else {}
    examples = stored.choice(found, "indomain_stored_inversion", ("picture-1", "in-domain-1"))
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            portrait = portrait_input(
                "Picture", "The picture to invert.", value=first.get("picture"),
                seed_value=first.get("seed"),
                domain=at.name, side=at.side, faces=at.faces,
            )  # fmt: skip
            ui = run_buttons(f"Invert by {COUNTS[count]}", fewest=10)
        with gr.Column(scale=3, min_width=280):
            shown = _method_images(at.methods, first)
            report = gr.HTML(first.get("report"), elem_id="invert-report")
    numbers_table = gr.HTML(first.get("table"), elem_id="invert-numbers")
    numbers = gr.JSON(visible=False)
    keep, _ = take_home("indomain_invert_files", first.get("keep"), exchange.offer)
    exchange.receive("invert", "invert", portrait)
    outputs = shown | {"table": numbers_table, "report": report, "numbers": numbers, "keep": keep}
    of = gr.State(first.get("of"))
    results = Belonging(
        portrait.origin, of, outputs, lambda: dict.fromkeys(outputs), portrait.meant
    )
    inputs = [*portrait.origin, ui.steps, exchange.given]
    results = stored.marked(examples, results)
    wire_run(ui, part.invert, outputs, inputs, "indomain_invert", results)
    if examples is not None:
        filled = {"picture": portrait.picture, "seed": portrait.seed, "of": of} | outputs
        del filled["numbers"]  # no one sees them, and an example has them in its table
        stored.wire(examples, found, _example, filled)
    return into_portrait(portrait)


def _absent(method: str, at: Setting) -> str:
    """Why a method is not among the pictures, and what trains its network."""
    why = html.escape(at.why(f"{method}-encoder"))
    return (
        f'<div class="prose-page"><p class="aside">{METHODS[method][0]}: not in this domain. {why}'
        "</p></div>"
    )


def _method_images(methods: Sequence[str], first: Values) -> dict[str, gr.Image]:
    shown = {}
    for start in range(0, len(methods), 2):
        with gr.Row():
            for method in methods[start : start + 2]:
                name, how = METHODS[method]
                shown[method] = gr.Image(
                    first.get(method), label=name, interactive=False, format="png", height=270,
                    min_width=150, alt_text=f"The inversion by {name}, {how}.",
                    elem_classes="filled", buttons=["download", "fullscreen"],
                )  # fmt: skip
    return shown
