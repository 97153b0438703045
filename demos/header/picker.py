"""The header of every page: the domain in use, the others with what they cost, what runs now.

Choosing a domain downloads what it lacks and loads its networks, both told in the page. A failure
is said in one sentence, and the page stays as it is. The choice is kept in the session, and in the
visitor's own browser for the other pages, with the extras that the visitor did without.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import Context

from demos.header import readiness
from demos.header.readiness import Papers, Sizes, Source
from demos.kit.bridge import (
    BOARD,
    CLAY,
    Done,
    Pipelines,
    Progress,
    Stop,
    failure,
    stoppable,
    stream,
)
from demos.kit.inputs import FOLLOW, QUIET, halt_button, stop_button
from demos.kit.outputs import Values, filling
from demos.kit.runs import waiting
from demos.kit.words import said
from weights import Domain, Missing, Offline, WeightsError
from weights.errors import printable

SECONDS = 4  # between two looks at what runs
STOPPED = "Stopped. What has arrived is kept: the next download goes on from there."
# Gradio's own BrowserState leaves the page at "Loading..." where a browser denies storage, as it
# may to a page framed in another site. Here each page then starts in the default domain.
_KEY = "gan-inversion-domain"
_REMEMBER = f"""choice => {{
    try {{ localStorage.setItem("{_KEY}", JSON.stringify(choice)) }} catch {{}}
}}"""
_RECALL = f"""(choice, ...others) => {{
    try {{ choice = JSON.parse(localStorage.getItem("{_KEY}")) ?? choice }} catch {{}}
    return [choice, ...others]
}}"""
WITHOUT = "It does without what was left out when it was chosen."
LEFT_OUT = "An extra of it is left out. "


class Refusal(ValueError):
    """Why nothing is changed, in words for the visitor."""


@dataclass(frozen=True)
class Moment:
    """One moment of a download, as `bridge.stream` takes it: `index` of `total` bytes."""

    stage: str
    index: int = 0
    total: int = 0
    loss: None = None
    images: None = None


@dataclass(frozen=True)
class _Desk:
    """Handlers; `load(domain)` returns the paper's pipeline, None on a page without one."""

    papers: Papers
    load: Callable | None
    source: Source
    sizes: Sizes

    def listed(self) -> dict[str, Domain]:
        """The domains that this page can be for, by name, in the manifest's order."""
        found = {entry.name: self.sizes.fill(entry) for entry in self.source.domains()}
        return {n: d for n, d in found.items() if n == CLAY or readiness.pages_of(d, self.papers)}

    def choices(self, listed: dict[str, Domain] | None = None) -> list[tuple[str, str]]:
        """Title and readiness of every domain, and its name."""
        entries = (self.listed() if listed is None else listed).values()
        return [(f"{e.title}: {readiness.state(e, self.papers)}", e.name) for e in entries]

    def show(self, name: str) -> Values:
        """A domain before anything of it is downloaded: its card, and what the button would do.

        Sizes that the list does not know are asked of the publishers, for two seconds at most.
        """
        self.sizes.ask(readiness.coming(readiness.pages_of(self._entry(name), self.papers)))
        return self._listed() | self._shown(name)

    def _listed(self) -> dict[str, Any]:
        """The list as it stands: it was written into the page when the app started."""
        return {"choice": gr.update(choices=self.choices())}

    def _shown(self, name: str) -> dict[str, Any]:
        entry = self._entry(name)
        label, can = readiness.action(entry, self.papers), readiness.usable(entry, self.papers)
        card = readiness.card(entry, self.papers)
        return {"card": card, "run": gr.update(value=label, interactive=can)}

    def use(self, name: str, now: str, stop: Stop) -> Iterator[Values]:
        """Download what a domain lacks, load its networks and change to it.

        Yields the words about it, the domain in use and what remembers it, and the picker.
        """
        yield from self._change(name, now, (), stop)

    @stoppable
    def _change(
        self, name: str, now: str, without: Collection[str], stop: Stop
    ) -> Iterator[Values]:
        """`use`, but for some extras, which are not fetched."""
        entry = self._entry(name)
        try:
            for news in stream(lambda on_step: self._prepare(entry, without, on_step), stop):
                if isinstance(news, Progress):
                    yield {"words": _progress(news), "halt": gr.update(interactive=True)}
                else:
                    yield self._in_use(entry) | {"words": _changed(entry, news)}
        except gr.Error as error:
            stays = html.escape(self._entry(now).title)
            words = f"<b>{stays}</b> stays in use. {html.escape(_why(name, error))}"
            yield {"words": said(words, outside=True)}

    def restore(self, remembered: dict[str, Any], now: str, stop: Stop) -> Iterator[Values]:
        """Change to the domain that was chosen on another page, if nothing is to be downloaded.

        An extra that a download brings counts too: loading the networks would fetch it unasked.
        Once they are loaded, or on a page without any, what the visitor did without does not.
        """
        name, forgone = _read_choice(remembered)
        entry = self.listed().get(name)
        if name == now or entry is None:
            yield self._listed()
            return
        pages = readiness.pages_of(entry, self.papers)
        without = forgone if self._loaded(name) else ()
        coming = [lack for lack in readiness.coming(pages) if lack.name not in without]
        ready, price = any(page.ready for page in pages), readiness.cost(coming)
        if ready and not price:
            yield from self._change(name, now, without, stop)
        else:
            lacks = "complete" if ready else "ready"
            here = f"{price} to download" if price else readiness.state(entry, self.papers)
            title = html.escape(entry.title)
            words = f"{title}, chosen before, is not {lacks} on this page: {here}."
            yield self._listed() | {"words": said(words)}

    def _entry(self, name: str) -> Domain:
        listed = self.listed()
        if name not in listed:
            raise gr.Error(f"domain must be one of {', '.join(listed)}; got {name}.")
        return listed[name]

    def _loaded(self, name: str) -> bool:
        """Whether nothing is left to load for a domain here, so that loading fetches nothing."""
        return self.load is None or (isinstance(self.load, Pipelines) and self.load.built(name))

    def _prepare(self, entry: Domain, without: Collection[str], on_step: Callable) -> list[str]:
        """Fetch all but `without`, then load; returns sentences about extras that are not had."""
        absent: list[str] = []
        if entry.name != CLAY:
            pages = readiness.pages_of(entry, self.papers)
            if not readiness.usable(entry, self.papers):
                raise Refusal(_out_of_reach(entry, pages))
            needs = {name for page in pages for name in page.needs}
            coming = readiness.coming(pages)
            absent = [WITHOUT] if any(lack.name in without for lack in coming) else []
            wanted = [lack for lack in coming if lack.name not in without]
            absent += self._fetch(wanted, needs, on_step)
        on_step(Moment("loading the networks"))
        if self.load is not None and entry.name != CLAY:
            self.load(entry.name)
        return absent

    def _fetch(self, lacks: list[Missing], needs: set[str], on_step: Callable) -> list[str]:
        absent: list[str] = []
        for number, lack in enumerate(lacks, start=1):
            stage = f"downloading file {number} of {len(lacks)}"

            def report(_: str, done: int, total: int, stage: str = stage, size: int = lack.bytes):
                if on_step(Moment(stage, done, total or size)):
                    raise Refusal(STOPPED)

            report("", 0, 0)
            try:
                self.source.fetch(lack.name, on_progress=report)
            except WeightsError as error:
                if lack.name in needs:
                    raise
                _log(lack.name, error)
                absent.append(LEFT_OUT + failure(error))
                if isinstance(error, Offline):  # the others would only wait as long
                    break
        return absent

    def _in_use(self, entry: Domain) -> dict[str, Any]:
        """Domain, memory, header, choices, card and button after a change."""
        absent = readiness.coming(readiness.pages_of(self._entry(entry.name), self.papers))
        remembered = _choice(entry.name, [lack.name for lack in absent])
        return {
            "domain": entry.name,
            "remembered": remembered,
            "header": gr.update(label=_header(entry), open=False),
            "choice": gr.update(choices=self.choices(), value=entry.name),
            **self._shown(entry.name),
        }


def _why(domain: str, error: gr.Error) -> str:
    """What a visitor is told of a failure, whose own words go to the log."""
    cause = error.__cause__
    if cause is None or isinstance(cause, Refusal):
        return str(error.message)
    _log(domain, cause)
    return failure(cause)


def _log(name: str, error: BaseException) -> None:
    logging.getLogger(__name__).warning("%s is not had: %s", name, printable(str(error)))


def _choice(name: str, without: Sequence[str] = ()) -> dict[str, Any]:
    """What a browser remembers: a domain, and the extras that a download did not bring to it."""
    return {"domain": name, "without": list(without)}


def _read_choice(remembered: Any) -> tuple[str, list[str]]:
    """Domain and extras that a browser remembers, which anyone may have written there."""
    kept = remembered if isinstance(remembered, dict) else {}
    name, without = kept.get("domain"), kept.get("without")
    return name if isinstance(name, str) else CLAY, without if isinstance(without, list) else []


def _header(entry: Domain) -> str:
    return f"Domain: {entry.title}"


def _out_of_reach(entry: Domain, pages: list) -> str:
    lacks = readiness.lacking(lack for page in pages for lack in page.missing)
    return f"No download brings what {entry.title} lacks: {lacks}."


def _changed(entry: Domain, done: Done) -> str:
    absent = [html.escape(sentence) for sentence in done.result]
    return said(f"<b>{html.escape(entry.title)}</b> is in use.", *absent)


def _progress(news: Progress) -> str:
    """A download or a loading as a sentence, and as a bar while its size is known."""
    words, share = f"{news.stage[:1].upper()}{news.stage[1:]}", 0.0
    if news.total:
        share = min(1.0, news.index / news.total)
        words += f": {readiness.size(news.index)} of {readiness.size(news.total)}"
    elif news.index:
        words += f": {readiness.size(news.index)}"
    bar = f'<div class="meter wide"><i style="width:{share:.1%}"></i></div>'
    return f'<div role="status">{said(f"{words} …")}{bar if news.index or news.total else ""}</div>'


def now_running() -> str:
    """What runs on this machine and what waits, the next first, as one line."""
    waits = waiting()
    running = "; ".join(map(html.escape, BOARD.running))
    words = f"Running now: {running}." if running else "Nothing is running."
    queued = f" Waiting: {html.escape(', '.join(waits))}." if waits else ""
    return f'<p class="now" role="status">{words}{queued}</p>'


def build(papers: Papers, load: Callable | None, source: Source) -> gr.State:
    """Put the header into the open page; returns the state that holds this session's domain.

    papers: whose pages the domains are for; load: of the page's paper, None on the first page.
    """
    desk = _Desk(papers, load, source, Sizes(source))
    listed = desk.listed()
    entry = listed.get(CLAY)
    label = _header(entry) if entry else "Domain"
    with gr.Accordion(label, open=False, elem_id="domain-picker") as header:
        gr.HTML(said(readiness.PHOTOGRAPHS))
        with gr.Row():
            with gr.Column(min_width=280):
                choice = gr.Radio(
                    desk.choices(listed), value=CLAY, label="Domains", elem_classes="bare stacked"
                )
            with gr.Column(min_width=280):
                card = gr.HTML(readiness.card(entry, papers) if entry else "")
                with gr.Row():
                    run = gr.Button("Use it", variant="primary", scale=3)
                    halt = halt_button()
    with gr.Column(elem_classes="lines"):
        words = gr.HTML(elem_id="domain-words")
        line = gr.HTML(now_running(), elem_id="now-running")
    gr.Timer(SECONDS).tick(now_running, None, line, queue=False, **QUIET)
    domain, stop = gr.State(CLAY), gr.State(Stop())
    remembered = gr.JSON(_choice(CLAY), visible="hidden")
    shown = {"choice": choice, "card": card, "run": run}
    outputs = {
        "words": words, "domain": domain, "remembered": remembered, "header": header,
        "halt": halt, **shown,
    }  # fmt: skip
    choice.input(**filling(desk.show, shown), inputs=choice, **QUIET | FOLLOW)
    options = {"concurrency_id": "domains", "concurrency_limit": 1} | QUIET
    stop_button(halt, stop, run)
    used = run.click(**filling(desk.use, outputs), inputs=[choice, domain, stop], **options)
    used.then(None, remembered, None, js=_REMEMBER, **QUIET)
    idle = {"fn": lambda: gr.update(interactive=False), "outputs": halt} | QUIET
    used.then(**idle)
    back = filling(desk.restore, outputs)
    recalled = {"inputs": [remembered, domain, stop], "js": _RECALL} | QUIET
    Context.root_block.load(**back, **recalled).then(**idle)
    return domain
