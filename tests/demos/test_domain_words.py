"""What the picker says: of sizes, of what is missing and of failures, in a visitor's words."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import weights
from demos.header import picker, readiness
from demos.header.readiness import Source
from demos.kit.bridge import CLAY, Stop
from demos.papers import PAPERS
from tests.demos import fake_domains
from tests.demos.fake_domains import FakeShelf
from tests.demos.test_domains import INDOMAIN, card_and_button, chosen, desk, in_use, through

MM2LATENT = next(paper for paper in PAPERS if paper.slug == "mm2latent")


@pytest.fixture
def shelf() -> FakeShelf:
    return FakeShelf()


def test_a_card_is_in_a_visitors_words(shelf) -> None:
    lack = weights.Missing("a/b", "to be placed", f"Put <it> at {Path.home()}/b.", "", 0)
    page = weights.Page("indomain", ("a/b",), (lack,), licences=("unknown", "MIT"))
    card = readiness.card(weights.Domain("a", "A & B", (8, 8), (), 0, 0, (page,)), INDOMAIN)
    assert "A &amp; B" in card and "1 network is to be installed by hand" in card
    assert not re.search(r"a/b|/home|~|python -m|<code", card)
    assert "MIT; for some of its files unknown" in card


@pytest.mark.parametrize(
    "error",
    [
        weights.Offline("photos/net: connect once and run `python -m weights`."),
        weights.Altered("photos/net: expected sha256 1 in /home/me/.cache; got 2."),
        weights.NoRoom("photos/net: point GAN_INVERSION_CACHE at another disk."),
        weights.WeightsError("photos/net: expected the tensors of Generator; got others."),
        ValueError("resolution must be one of (8, 16); got 7."), KeyError("g_ema"),
        MemoryError(), OSError(13, "Permission denied", "/root/.cache"), RuntimeError("CUDA"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_visitor_reads_no_developers_words(shelf, caplog, error) -> None:
    def load(domain: str) -> None:
        raise error

    last = through(desk(shelf, load=load).use("photos", CLAY, Stop()))[-1]
    assert in_use(last) is None and "<b>Clay heads</b> stays in use. " in last["words"]
    words = last["words"].partition("stays in use. ")[2]
    assert not re.search(r"[`_/]|photos|sha256|python|Error|[A-Z]{4}|[a-z][A-Z]", words[:-4])
    assert str(error) in caplog.text


def test_sizes_are_asked_of_publishers_once(shelf, monkeypatch) -> None:
    monkeypatch.setattr(fake_domains, "NET", replace(fake_domains.NET, bytes=0))
    handlers = desk(shelf)
    shown = handlers.show("photos")
    assert shown["run"]["value"] == "Download 20 MB and 1 file of unknown size, then use it"
    assert shelf.sized == [["photos/net"]]
    handlers.show("photos")
    assert len(shelf.sized) == 1, "a publisher without an answer is asked again after a minute"
    monkeypatch.setattr(readiness, "PATIENCE", 0)
    shelf.told = {"photos/net": 381_000_000}
    shown = handlers.show("photos")
    assert shown["run"]["value"] == "Download 401 MB, then use it" and "<dd>401 MB" in shown["card"]
    assert ("Photographs of faces: 401 MB to download", "photos") in shown["choice"]["choices"]
    assert handlers.show("photos")["run"] == shown["run"] and len(shelf.sized) == 2
    assert handlers.show("towers")["card"] and len(shelf.sized) == 2, "no download would help"


def test_the_shipped_catalogue_has_words_for_every_domain() -> None:
    for papers in (PAPERS, *([paper] for paper in PAPERS)):
        handlers = catalogue(papers)
        assert handlers.choices()[0][1] == CLAY
        for _, name in handlers.choices():
            card, button = card_and_button(handlers, name)
            assert "domain-card" in card and button["value"]
            assert not re.search(r"/[a-z]+[-/]|python -m|~/|<code|_", card.partition("<h4>")[2])
    ffhq, button = card_and_button(catalogue(INDOMAIN), "ffhq")
    assert "networks are to be installed by hand" in ffhq and "NVIDIA-NC" in ffhq
    assert "2 networks are published by nobody" in catalogue([MM2LATENT]).show("ffhq")["card"]


def test_a_page_that_is_opened_later_lists_what_is_there_now(shelf) -> None:
    """The list is written into the page when the app starts."""
    handlers = desk(shelf)
    shelf.fetched = ["photos/net", "faces/judge"]
    (answer,) = through(handlers.restore(chosen(CLAY), CLAY, Stop()))
    assert ("Photographs of faces: ready offline", "photos") in answer["choice"]["choices"]


def test_whoever_runs_the_app_may_trust_publishers() -> None:
    """Files at a publisher's address, for whose checksums nobody vouches."""
    paper = replace(INDOMAIN[0], slug="sam_inversion", name="SAM inversion")
    careful, trusting = (catalogue([paper], s) for s in (Source(), Source.trusting()))
    card, button = card_and_button(careful, "lsun-car")
    assert "2 networks are to be allowed by whoever runs this app" in card
    assert not button["interactive"] and button["value"] == "Not available yet"
    card, button = card_and_button(trusting, "lsun-car")
    assert "to be allowed" not in card and button["interactive"]
    assert button["value"].startswith("Download 553 MB and 3 files of unknown size")


def catalogue(papers, source: Source | None = None) -> picker._Desk:
    """The picker over the shipped list, with publishers that say nothing of sizes."""
    source = replace(source or Source(), sizes=lambda names: {})
    return picker._Desk(papers, None, source, readiness.Sizes(source))


def test_the_readme_says_of_photographs_what_the_picker_says() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert readiness.PHOTOGRAPHS in " ".join(readme.split())
