"""How a page presents itself where its address is shared: title, description and a picture.

Gradio has one title for all pages. What reads share cards runs no scripts, so the words are put
into the page before it is sent.
"""

from __future__ import annotations

import functools
import io
import json
import re
import textwrap
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from gradio.route_utils import get_root_url
from PIL import Image, ImageDraw, ImageFont
from starlette.requests import Request
from starlette.responses import Response

from demos.kit.paper import Paper

TITLE = "GAN inversion, live"
SAYS = (
    "A picture becomes a code, and moving the code edits the picture: papers on GAN inversion, run "
    "live on portraits whose true edits are known."
)
SIZE = (1200, 630)  # px, of the picture on a share card
CARD = "share-card.png"
# Gradio's own tags, which are the same for every page.
_TAGS = re.compile(
    r'<meta\s+(?:property|name)="(?:og|twitter):(?:title|description|image|url|creator)"[^>]*>'
)
_PAPER, _INK, _MUTED, _ACCENT = "#f6f6f2", "#1b1f1d", "#5c6460", "#0d6a57"
_CLAY = Path(__file__).parents[2] / "examples" / "clay"
_STORY = ("picture", "edited", "truth")  # pictures of a stored edit


class Presented:
    """The app with a title, a description and a share card a page; `papers` have one each."""

    def __init__(self, app: Callable, papers: Sequence[Paper]) -> None:
        self._app = app
        self._pages = {paper.slug: paper for paper in papers if paper.page}

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", "")).strip("/")
        slug = path.removesuffix(CARD).strip("/")
        if scope["type"] != "http" or slug and slug not in self._pages:
            await self._app(scope, receive, send)
        elif path.endswith(CARD):
            answer = Response(card(self._pages.get(slug)), media_type="image/png")
            await answer(scope, receive, send)
        else:
            address = f"{get_root_url(Request(scope), f'/{path}', scope.get('root_path'))}/{slug}"
            page = _Page(send, self._pages.get(slug), address.rstrip("/"))
            await self._app(scope, receive, page)


class _Page:
    """Sends a page's HTML once it is whole, with its own words in it; all else as it comes."""

    def __init__(self, send: Callable, paper: Paper | None, address: str) -> None:
        self._send, self._paper, self._address = send, paper, address
        self._start: dict[str, Any] = {}
        self._content = b""

    async def __call__(self, message: dict) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        headers = dict(self._start.get("headers", ()))
        if not headers.get(b"content-type", b"").startswith(b"text/html"):
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._content += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish(headers)

    async def _finish(self, headers: dict[bytes, bytes]) -> None:
        page = presented(self._content.decode(), self._paper, self._address).encode()
        if self._content:  # a HEAD request has none
            headers[b"content-length"] = str(len(page)).encode()
        await self._send(self._start | {"headers": list(headers.items())})
        body = page if self._content else b""
        await self._send({"type": "http.response.body", "body": body})


def presented(page: str, paper: Paper | None, address: str) -> str:
    """Gradio's HTML with the words of a paper's page, or of the first one, at this address."""
    title, says = words(paper)
    picture = f"{address}/{CARD}"
    tags = {
        "og:title": title, "og:description": says, "og:url": address, "og:image": picture,
        "twitter:title": title, "twitter:description": says, "twitter:image": picture,
        "description": says,
    }  # fmt: skip
    own = f"<title>{escape(title)}</title>" + "".join(
        f'<meta {"property" if name.startswith("og:") else "name"}="{name}" '
        f'content="{escape(said)}" />'
        for name, said in tags.items()
    )
    # The browser sets the title again, from Gradio's settings.
    page = page.replace(f'"title":{json.dumps(TITLE)}', f'"title":{json.dumps(title)}')
    head, end, rest = page.partition("</head>")
    return f"{_TAGS.sub('', head)}{own}{end}{rest}" if end else page


def words(paper: Paper | None) -> tuple[str, str]:
    """Title and description of a page, of the first one without a paper."""
    return (f"{paper.name}: {TITLE}", paper.says) if paper else (TITLE, SAYS)


@functools.lru_cache
def card(paper: Paper | None) -> bytes:
    """The picture of a share card as a PNG: an edit that the page shows, and its name."""
    canvas = Image.new("RGB", SIZE, _PAPER)
    draw, story = ImageDraw.Draw(canvas), _story(paper)
    side, gap = 330, 24
    for i, picture in enumerate(story):
        tile = picture.resize((side, side), Image.Resampling.LANCZOS)
        canvas.paste(tile, (64 + i * (side + gap), 64))
    title, says = words(paper)
    draw.rectangle((64, 426, 128, 430), fill=_ACCENT)
    draw.text((64, 440), title, fill=_INK, font=ImageFont.load_default(48))
    lines = textwrap.shorten(says, 150, placeholder=" …")
    draw.multiline_text(
        (64, 510), textwrap.fill(lines, 80), fill=_MUTED, font=ImageFont.load_default(26)
    )
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _story(paper: Paper | None) -> list[Image.Image]:
    """A stored edit in pictures; without one, that of the first page."""
    stored = (entry for kind in (paper.kinds if paper else ()) for entry in paper.stored.read(kind))
    for entry in stored:
        if entry.pictures.keys() >= set(_STORY):
            return [entry.pictures[name].convert("RGB") for name in _STORY]
    pictures = []
    for name in ("before", "after"):
        with Image.open(_CLAY / f"{name}.webp") as file:
            pictures.append(file.convert("RGB"))
    return pictures
