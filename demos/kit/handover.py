"""From any result to any other part or page: a picture with its code, so that no second search is
needed.

Every part offers its results and receives pictures by a key. On the same page a picture goes there
at once; another page gets it by a link, whose word finds it on this machine for an hour.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.context import Context
from gradio.utils import get_upload_folder

from demos.holding import HOLDS, handed_out
from demos.kit.bridge import spoken_errors
from demos.kit.downloads import Keepsake, Sent
from demos.kit.imaging import refuse, squared
from demos.kit.inputs import GPU, QUIET, Pictures, PortraitInput
from demos.kit.outputs import Values, filling
from demos.kit.paper import Paper
from demos.kit.runs import mark
from demos.kit.words import said

GIVEN = 16  # codes that a page remembers of the pictures it was sent
CAME = "The picture came with its code, which needs no search."
BARE = "The picture came without a code."


def lay_out(sent: Sent) -> str:
    """Lay out a picture for another page; the word that finds it there, which nobody can guess."""
    word = secrets.token_urlsafe(12)
    sent.write(_way(word))
    return word


def taken(word: str) -> Sent | None:
    """What lies there for a word, which anybody may have typed; None after an hour."""
    if not re.fullmatch(r"[\w-]{16}", word, re.ASCII):
        return None
    try:
        path = _way(word)
        return Sent.read(path) if time.time() - path.stat().st_mtime < HOLDS else None
    except FileNotFoundError:
        return None


def _way(word: str) -> Path:
    return handed_out(get_upload_folder()) / f"take-{word}.safetensors"


def known(given: Mapping[str, Sent], image: Any, pipeline: Any) -> Any:
    """The code that the very square came with, where it is of this generator; else None."""
    sent = (given or {}).get(mark(image))
    if sent is None or sent.w is None or sent.generator != pipeline.fingerprint:
        return None
    return sent.w


def with_code(given: Mapping[str, Sent], sent: Sent, side: int) -> dict[str, Sent]:
    """The codes that a page remembers, with that of one more picture; side: of its squares [px]."""
    codes = [*(given or {}).items(), (mark(squared(sent.picture, side=side)), sent)]
    return dict(codes[-GIVEN:])


@dataclass(frozen=True)
class Place:
    """Where a picture can be sent: a part's portrait input, or its gallery with its tab.

    codes: whether what is done there starts from a picture's code, where it comes with one.
    """

    tab: str
    to: PortraitInput | Pictures
    codes: bool = True

    @property
    def outputs(self) -> list[Component]:
        return [self.to] if isinstance(self.to, Pictures) else self.to.origin

    def filled(self, sent: Sent, there: Sequence[Any]) -> list[Any]:
        """The values of `outputs`; there: the pictures that a gallery holds already."""
        if not isinstance(self.to, Pictures):
            return [sent.picture, 0.5, 0.5, 1, None]
        if len(there or ()) >= self.to.most:
            raise refuse(f"{self.to.most} pictures are the most there. Remove one first.")
        return [[*(there or ()), sent.picture]]


class Exchange:
    """What a page offers and receives.

    names: its places, as the paper's record has them; elsewhere: those of other pages, by address;
    side: of its pictures [px]; linked: whether other pages' links lead here.
    """

    def __init__(
        self, names: Mapping[str, str], elsewhere: Mapping[str, str], side: int, linked: bool
    ) -> None:
        self._names, self._elsewhere, self._side, self._linked = names, elsewhere, side, linked
        self._places: dict[str, Place] = {}
        self._offers: list[tuple] = []
        self.given = gr.State({})

    def receive(self, key: str, tab: str, to: PortraitInput | Pictures, codes: bool = True) -> None:
        """Let pictures be sent to an input, by a key of `names`; without their codes where these
        are of no use there."""
        self._places[key] = Place(tab, to, codes)

    def offer(self, keep: gr.State, first: Keepsake | None = None) -> None:
        """The choice of a result and of a place, and the button that sends it there."""
        names = _named(first)
        choices = [(self._names[key], key) for key in self._names]
        choices += [(words, address) for address, words in self._elsewhere.items()]
        with gr.Row(equal_height=True):
            which = gr.Dropdown(
                names, value=names[-1][1] if names else None, label="Result", min_width=200
            )
            place = gr.Dropdown(choices, value=choices[0][1], label="Use in", min_width=200)
            button = gr.Button("Use it there", size="md", min_width=140)
        words = gr.HTML()
        keep.change(_choices, keep, which, **QUIET)
        self._offers.append((keep, which, place, button, words))

    def wire(self, tabs: gr.Tabs | None) -> None:
        """Connect all that was offered to all that is received, once the page is built."""
        outputs = {"given": self.given}
        for key, place in self._places.items():
            outputs |= {f"{key} {i}": component for i, component in enumerate(place.outputs)}
        if tabs is not None:
            outputs["tabs"] = tabs
        galleries = [p.to for p in self._places.values() if isinstance(p.to, Pictures)]
        for keep, which, place, button, words in self._offers:
            sends = filling(self.send, outputs | {"words": words})
            button.click(**sends, inputs=[keep, which, place, self.given, *galleries], **QUIET)
        if self._linked:
            Context.root_block.load(**filling(self.arrive, outputs), inputs=self.given, **QUIET)

    def send(
        self, keep: Keepsake | None, which: str | None, place: str, given: dict, *galleries: Any
    ) -> Values:
        """Send a result to a place of this page, or make the link that takes it to another."""
        if keep is None or which not in keep.sendable:
            raise refuse("There is no result to send yet. Run this part first.")
        sent = keep.sent(which)
        if place in self._elsewhere:
            link = f"{place.replace('/', '?in=')}&amp;take={lay_out(sent)}"
            return {"words": said(
                f'<a href="{link}" target="_blank">Open {escape(self._elsewhere[place])} with '
                f"{escape(_title(keep, which))}</a> (in a new tab; the link holds for an hour)"
            )}  # fmt: skip
        boxes = [key for key, p in self._places.items() if isinstance(p.to, Pictures)]
        came = BARE if sent.w is None else CAME
        came = f" {came}" if self._places[place].codes else ""
        words = said(f"Sent to {escape(self._names[place])}.{came}")
        return self._put(place, sent, given, dict(zip(boxes, galleries, strict=True))) | {
            "words": words
        }

    def arrive(self, given: dict, request: gr.Request) -> Values:
        """What a link brings to this page; nothing for other visitors."""
        asked = dict(request.query_params) if request else {}
        if "take" not in asked or asked.get("in") not in self._places:
            return {}
        sent = taken(asked["take"])
        if sent is None:
            gr.Warning("The picture of this link is no longer here: links hold for an hour.")
            return {}
        return self._put(asked["in"], sent, given, {})

    def _put(self, key: str, sent: Sent, given: dict, there: Mapping[str, Any]) -> Values:
        place = self._places[key]
        values = place.filled(sent, there.get(key, ()))
        shown: dict[str, Any] = {"given": with_code(given, sent, self._side)}
        shown |= {f"{key} {i}": value for i, value in enumerate(values)}
        return shown | ({"tabs": gr.Tabs(selected=place.tab)} if place.tab else {})

    def build_reader(self, load: Callable, api_name: str) -> None:
        """An input for a latent file that was downloaded here: its pictures, to be sent on."""
        with gr.Accordion("Load a latent", open=False):
            gr.HTML(said(
                "A file of latent codes that was downloaded here: its pictures are made anew, and "
                "go on with their codes."
            ))  # fmt: skip
            read = gr.UploadButton("Choose a file", size="md", file_types=[".safetensors"])
            shown = gr.Gallery(
                label="Its pictures", columns=6, height=220, object_fit="contain", format="png",
                interactive=False, allow_preview=False, buttons=[], elem_classes="strip",
            )  # fmt: skip
            keep = gr.State()
            self.offer(keep)

        def opened(file: str | None) -> Values:
            """The pictures of a file of latent codes that was downloaded here."""
            if not file:
                raise refuse("There is no file. Choose a latent that was downloaded here.")
            with spoken_errors():
                pipeline = load()
                found = pipeline.read_codes(file)
            pictures = {name: result.image for name, result in found.items()}
            # A picture that a code makes only with what stands beside it goes on without.
            alone = {name: r for name, r in found.items() if getattr(r, "alone", True)}
            codes = {name: result.w for name, result in alone.items()}
            about = {"generator": pipeline.fingerprint}
            loaded = Keepsake(pictures, codes, {"method": "loaded from a file"}, about)
            return {"shown": [(p, name) for name, p in pictures.items()], "keep": loaded}

        read.upload(
            **filling(opened, {"shown": shown, "keep": keep}), inputs=read, api_name=api_name, **GPU
        )


def exchange_of(paper: Paper, side: int, everywhere: bool = True) -> Exchange:
    """A page's exchange; with the places of the other pages where these are for the same domain."""
    from demos.papers import PAPERS  # the list imports the papers' records, and these the kit

    others = [p for p in PAPERS if p.page and p.slug != paper.slug and everywhere]
    elsewhere = {
        f"{other.slug}/{key}": f"{other.name}: {words}"
        for other in others
        for key, words in other.places.items()
    }
    return Exchange(paper.places, elsewhere, side, everywhere)


def _choices(keep: Keepsake | None) -> Any:
    """The results to choose from, the newest chosen."""
    names = _named(keep)
    return gr.update(choices=names, value=names[-1][1] if names else None)


def _named(keep: Keepsake | None) -> list[tuple[str, str]]:
    """The results in words, each with the name of its file."""
    return [(_title(keep, name), name) for name in (keep.sendable if keep else [])]


def _title(keep: Keepsake, name: str) -> str:
    return keep.titles.get(name) or in_words(name)


def in_words(name: str) -> str:
    """What a file's name says: "Mix 2, 1" of mix-2-1."""
    spaced = re.sub(r"-(?=\d)", " ", re.sub(r"(?<=\d)-(?=\d)", ", ", name))
    return spaced[:1].upper() + spaced[1:]
