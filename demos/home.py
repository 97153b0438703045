"""The first page: what GAN inversion is, and a card for each paper."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import gradio as gr

from demos.comparison import page
from demos.header import picker
from demos.header.readiness import Source
from demos.kit.introduction import citation, links
from demos.kit.paper import Paper

_NUMBERS = dict(enumerate("No One Two Three Four Five Six Seven Eight Nine Ten".split()))
_FACES = Path(__file__).parent.parent / "examples" / "clay"


def _face(x: int, y: int, name: str) -> str:
    """A clay portrait of 120 px around (x, y): the same person before and after the edit."""
    picture = base64.b64encode((_FACES / f"{name}.webp").read_bytes()).decode()
    return (
        f'<image x="{x - 60}" y="{y - 60}" width="120" height="120" '
        f'href="data:image/webp;base64,{picture}"/>'
    )


_SAYS = """A portrait is encoded to a point w inside the region of all faces that the generator can
 make. Moving the point inside the region and generating again gives the same person smiling, with
 glasses."""
_TIP = """<defs><marker id="tip{id}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"
markerHeight="7" orient="auto"><path d="M0 0l8 4-8 4z" fill="var(--accent)"/></marker></defs>"""


def _label(x: int, y: int, text: str, kind: str = "") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{text}</text>'


def _way(path: str, id: str, dashed: bool = False) -> str:
    dashes = 'stroke-dasharray="5 6"' if dashed else ""
    return f'<path class="way" d="{path}" {dashes} marker-end="url(#tip{id})"/>'


def _points(first: tuple[int, int], second: tuple[int, int]) -> str:
    return f"""<circle cx="{first[0]}" cy="{first[1]}" r="7" fill="var(--accent)"/>
<circle cx="{second[0]}" cy="{second[1]}" r="7" fill="none" stroke="var(--accent)"
stroke-width="2.5"/>"""


def _wide_picture() -> str:
    """The idea in one drawing: a picture, its code among all faces, and an edit of the code."""
    return f"""<svg viewBox="0 0 1000 300" role="img" aria-label="{_SAYS}">{_TIP.format(id="w")}
{_face(90, 140, "before")}
<path d="M355 150C350 70 440 40 520 52s150 20 148 96-92 112-168 104-141-32-145-102z"
fill="var(--soft)" stroke="var(--line)"/>{_points((447, 149), (577, 121))}
{_way("M160 140C230 120 330 118 436 146", "w")}
{_way("M457 150C490 152 530 146 566 126", "w", dashed=True)}
{_way("M588 121C680 116 760 128 832 138", "w")}
{_face(910, 140, "after")}
{_label(90, 232, "a picture", "name")}{_label(910, 232, "the same, edited", "name")}
{_label(446, 182, "w")}{_label(514, 128, "edit")}{_label(250, 106, "invert")}
{_label(756, 104, "generate")}
{_label(512, 284, "everything the generator can make", "name")}</svg>"""


def _tall_picture() -> str:
    """The same drawing for a phone, from top to bottom."""
    return f"""<svg class="tall" viewBox="0 0 360 640" role="img" aria-label="{_SAYS}">
{_TIP.format(id="t")}{_face(80, 70, "before")}
<path d="M30 330C26 250 90 222 176 232s158 22 156 96-72 106-150 98-148-26-152-96z"
fill="var(--soft)" stroke="var(--line)"/>{_points((122, 318), (242, 342))}
{_way("M84 140C84 200 92 262 116 307", "t")}
{_way("M133 318C170 306 206 314 233 333", "t", dashed=True)}
{_way("M246 354C268 400 276 440 278 486", "t")}
{_face(280, 560, "after")}
{_label(206, 76, "a picture", "name")}{_label(132, 190, "invert")}{_label(112, 348, "w")}
{_label(190, 300, "edit")}{_label(230, 466, "generate")}
{_label(128, 398, "everything the", "name")}{_label(128, 420, "generator can make", "name")}
{_label(140, 566, "the same, edited", "name")}</svg>"""


def _counted(papers: Sequence[Paper]) -> str:
    """How many papers run, and how many do not yet."""
    run = sum(bool(paper.page) for paper in papers)
    coming, words = len(papers) - run, f"{_number(run)}, run live"
    return f"{words}; {_NUMBERS.get(coming, coming).lower()} in preparation" if coming else words


def _number(papers: int) -> str:
    """So many papers, in words."""
    return f"{_NUMBERS.get(papers, papers)} paper{'' if papers == 1 else 's'}"


def _card(paper: Paper) -> str:
    action = (
        f'<a class="go" href="{paper.slug}">Open the page</a>'
        if paper.page
        else '<span class="state">In preparation</span>'
    )
    return f"""<article class="card{" open" if paper.page else ""}"><h3>{paper.title}</h3>
<p class="who">{paper.authors}. {paper.year}</p><p>{paper.says}</p>
<p class="links">{links(paper)}</p>{action}</article>"""


def build(papers: Sequence[Paper], loads: Mapping[str, Callable], source: Source) -> None:
    """Put the page into the open `gr.Blocks`; loads: gives each paper's pipeline, by slug."""
    gr.Navbar(main_page_name="Home")
    picker.build(papers, None, source)
    gr.HTML("""<div class="prose-page home">
<h1>Take a picture apart, and put it together differently</h1></div>""")
    page.build(papers, loads, _number)
    gr.HTML(f"""<div class="prose-page home"><section class="lead"><h2>What happens there</h2>
<p>A GAN turns a short code into a picture. GAN inversion goes the other way: given a picture, it
finds the code that would have made it. Once a picture is a code, moving the code edits the
picture: age, a smile, the light, or half of somebody else's face.</p></section>
<div class="plate">{_wide_picture()}{_tall_picture()}</div>
<h2>{_counted(papers)}</h2>
<p class="aside">Everything runs on this machine, with small networks trained on procedural clay
portraits. They know clay portraits and nothing else: a photograph of you lies outside their
domain, and the pages say so when it does.</p>
<div class="cards">{"".join(_card(paper) for paper in papers)}</div></div>""")
    citation(papers)
