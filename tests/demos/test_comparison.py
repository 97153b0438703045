"""One picture through all papers, with fake pipelines: who takes part, a run, stored examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
from PIL import Image, ImageOps

from demos.comparison import __main__ as command
from demos.comparison import cards, page, store
from demos.comparison.method import CHANGES, STEPS
from demos.comparison.run import Handlers
from demos.comparison.session import Entrant, moved
from demos.kit import portraits, shelf
from demos.kit.bridge import Stop
from demos.kit.portraits import TEST
from demos.kit.shelf import NOTHING, Scene
from demos.papers import PAPERS
from examples import choosing
from examples.clay.edits import EDITS
from tests.demos.fake_pipeline import FakeInDomain
from tests.demos.shelves import drawn_scene, shelved_groups, stocked, taking_part

WHOLE = (0.5, 0.5, 1)
STAGED = ("mug", 0.5, 0.3, 0.0)
SEED = TEST.start + 3
FIRST = "indomain"
# All that can take part, also those whose pages one line still has to switch on.
ON = [p if p.page else replace(p, page=f"demos.{p.slug}.page:build") for p in PAPERS
      if p.comparison]  # fmt: skip


@pytest.fixture(autouse=True)
def renderer(monkeypatch):
    """Portraits come from files: nothing is rendered."""
    monkeypatch.setattr(shelf, "_rendered", drawn_scene)
    monkeypatch.setattr(choosing, "groups", shelved_groups)


@pytest.fixture
def entrants() -> tuple[Entrant, ...]:
    return taking_part(ON)


def scene(thing: str = "mug") -> Scene:
    return Scene(SEED, thing, *STAGED[1:])


def own() -> Image.Image:
    """A picture that no renderer knows."""
    return ImageOps.mirror(scene(NOTHING).image)


def run(entrants, picture=None, name="smile", seed=SEED, staged=STAGED, stop=None) -> list[dict]:
    """What a press on the button yields, one after another."""
    picture = scene().image if picture is None else picture
    handler = Handlers(entrants).run
    return list(handler(picture, *WHOLE, seed, *staged, name, stop or Stop()))


def last(news: list[dict]) -> dict:
    """What stands on the page at the end."""
    return {name: value for values in news for name, value in values.items()}


def calls(entrants, slug: str) -> list:
    return next(entrant.load() for entrant in entrants if entrant.paper.slug == slug).calls


# ---- who takes part ------------------------------------------------------------------------------


def test_papers_that_are_on_take_part_in_the_order_of_the_list():
    now = [p.slug for p in PAPERS if p.page and p.comparison]
    assert [entrant.paper.slug for entrant in taking_part()] == now
    assert "sam_inversion" in [entrant.paper.slug for entrant in taking_part(ON)]
    off = [replace(p, page="") if p.slug == FIRST else p for p in ON]
    assert [entrant.paper.slug for entrant in taking_part(off)] == [p.slug for p in ON[1:]]


def test_every_method_says_how_it_makes_what_is_asked(entrants):
    for name, change in CHANGES.items():
        assert EDITS[change.edit].low <= change.amount <= EDITS[change.edit].high
        assert sum(name in entrant.method.ways for entrant in entrants) >= 2
    for entrant in entrants:
        assert entrant.method.ways.keys() <= CHANGES.keys() and entrant.method.how
        assert entrant.method.cannot or entrant.method.ways.keys() == CHANGES.keys()


# ---- a run ---------------------------------------------------------------------------------------


def test_every_method_rebuilds_the_picture_and_changes_it(entrants):
    news = run(entrants)
    shown = last(news)
    slugs = [entrant.paper.slug for entrant in entrants]
    assert len(slugs) == 5
    for slug in slugs:
        assert all(word in shown[slug] for word in ("PSNR", "LPIPS", "Identity", " s<", "<img"))
        edit = shown[cards.edit_of(slug)]
        assert all(word in edit for word in ("LPIPS", "Unedited", "Identity", "<img"))
        assert f'href="{slug}"' in shown[slug] and "alt=" in shown[slug]
    assert sum("best" in shown[slug] for slug in slugs) == 1
    assert sum("best" in shown[cards.edit_of(slug)] for slug in slugs) == 1
    assert "every method is given" in shown[cards.PICTURE] and "<img" in shown[cards.PICTURE]
    assert "with the same mug" in shown[cards.TRUTH] and "<img" in shown[cards.TRUTH]
    assert shown["words"] == "" and set(shown["subject"].inverted) == set(slugs)
    assert ("invert", "in-domain", STEPS) in calls(entrants, FIRST)
    assert ("manipulate", {"smile": CHANGES["smile"].amount}) in calls(entrants, FIRST)


def test_results_come_one_after_another_with_their_seconds():
    entrants = taking_part(ON, indomain=FakeInDomain(seconds_a_step=0.02))
    news = run(entrants)
    ready = {}
    for place, values in enumerate(news):
        for entrant in entrants:
            slug = entrant.paper.slug
            if "PSNR" in values.get(slug, "") and slug not in ready:
                ready[slug] = place
    assert list(ready) == [entrant.paper.slug for entrant in entrants]
    assert len(set(ready.values())) == len(ready), "one at a time"
    way = [v[FIRST] for v in news if f"of {STEPS}" in v.get(FIRST, "")]
    seconds = [float(re.search(r"([\d.]+) s<", words)[1]) for words in way]
    assert len(seconds) >= 3 and sorted(seconds) == seconds and seconds[-1] > 0.3
    assert any("In-domain" in v.get("state", "") and "left" in v["state"] for v in news)


def test_what_a_method_cannot_do_is_said(entrants):
    shown = last(run(entrants, name="older"))
    assert "age is not a part" in shown[cards.edit_of("editgan")]
    assert "<img" not in shown[cards.edit_of("editgan")]
    others = [entrant.paper.slug for entrant in entrants if entrant.paper.slug != "editgan"]
    assert all("<img" in shown[cards.edit_of(slug)] for slug in others)
    assert ("manipulate", {"age": CHANGES["older"].amount}) in calls(entrants, FIRST)


def test_another_change_inverts_nothing_again(entrants):
    handlers, subject = Handlers(entrants), last(run(entrants))["subject"]
    before = {e.paper.slug: len(e.load().calls) for e in entrants}
    news = list(handlers.change(subject, "glasses"))
    assert "round glasses" in last(news)[cards.edit_of("mm2latent")]
    after = last(news)["subject"]
    for entrant in entrants:
        new = entrant.load().calls[before[entrant.paper.slug] :]
        assert len(new) == 1 and new[0][0] not in ("invert", "embed")
    count = len(calls(entrants, FIRST))
    (back,) = handlers.change(after, "smile")
    assert len(calls(entrants, FIRST)) == count, "it was made before"
    assert back[cards.edit_of(FIRST)] == last(run(taking_part(ON)))[cards.edit_of(FIRST)]
    assert list(handlers.change(None, "glasses")) == [{}]


def test_nobody_knows_the_true_answer_for_an_own_picture(entrants):
    shown = last(run(entrants, own(), seed=None))
    assert "Nobody knows" in shown[cards.TRUTH] and "<img" not in shown[cards.TRUTH]
    for entrant in entrants:
        edit = shown[cards.edit_of(entrant.paper.slug)]
        assert "<img" in edit and "Unedited" not in edit and "best" not in edit


def test_a_portrait_that_was_just_drawn_bare_is_meant_with_its_thing(monkeypatch, entrants):
    bare, portrait = scene(NOTHING).image, scene().image
    monkeypatch.setattr(portraits, "rendered", lambda seed, changes=None: bare)
    monkeypatch.setattr(portraits, "_MARKS", {})
    for picture in (bare, None):
        assert shelf.meant(picture, SEED, *STAGED).tobytes() == portrait.tobytes()
    shown = last(run(entrants, bare))
    for name in (cards.PICTURE, cards.TRUTH, cards.edit_of(FIRST)):
        assert shown[name] == last(run(taking_part(ON), portrait))[name]
    assert shelf.meant(own(), SEED, *STAGED).tobytes() == own().tobytes()
    assert shelf.meant(None, None, *STAGED) is None


def test_a_picture_outside_the_domain_is_said_to_be(entrants):
    shown = last(run(entrants, Image.new("RGB", (64, 64), "navy"), seed=None))
    assert "The picture is <b>outside the domain</b>" in shown["words"]


def test_who_is_so_already_is_said(monkeypatch, entrants):
    monkeypatch.setattr(Scene, "room", lambda *_: 0.0)
    shown = last(run(entrants, name="glasses"))
    assert "wears glasses already" in shown[cards.TRUTH]


def test_one_failure_leaves_the_others_their_turn():
    class Broken(FakeInDomain):
        def invert(self, image, **options):
            raise ValueError("expected <memory>; got none.")

    entrants = taking_part(ON, indomain=Broken())
    shown = last(run(entrants))
    assert "That did not work: expected &lt;memory&gt;; got none." in shown[FIRST]
    assert "Not rebuilt" in shown[cards.edit_of(FIRST)]
    assert all("<img" in shown[cards.edit_of(e.paper.slug)] for e in entrants[1:])


def test_an_edit_that_fails_says_why(entrants):
    entrants[1].load().library.pop("smile")
    shown = last(run(entrants))
    assert "must be a vector of the library (bigger eyes" in shown[cards.edit_of("editgan")]


def test_stop_keeps_what_is_there():
    entrants, stop = taking_part(ON, indomain=FakeInDomain(seconds_a_step=0.02)), Stop()
    stop.ask()
    handler = Handlers(entrants).run(scene().image, *WHOLE, SEED, *STAGED, "smile", stop)
    news: list[dict] = []
    for values in handler:
        news.append(values)
        if "Step" in values.get(FIRST, ""):
            stop.press()
    shown = last(news)
    assert "<img" in shown[cards.edit_of(FIRST)]
    for entrant in entrants[1:]:
        assert "Stopped before its turn" in shown[entrant.paper.slug]
        assert "Stopped before its turn" in shown[cards.edit_of(entrant.paper.slug)]
        assert entrant.load().calls == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"picture": None, "seed": None}, "There is no picture yet"),
        ({"name": "younger"}, "must be one of smile, glasses, older; got 'younger'"),
        ({"picture": None, "seed": 7}, "one that no network has seen"),
        ({"staged": ("anvil", 0.5, 0.3, 0.0)}, "The thing must be one of none, mug"),
    ],
)
def test_bad_input_is_refused_in_words(entrants, changed, words):
    given = {"picture": scene().image, "name": "smile", "seed": SEED, "staged": STAGED} | changed
    handler = Handlers(entrants).run(
        given["picture"], *WHOLE, given["seed"], *given["staged"], given["name"], Stop()
    )
    with pytest.raises(gr.Error, match=re.escape(words)):
        list(handler)
    assert not calls(entrants, FIRST)


def test_a_new_portrait_has_room_for_every_change():
    for _ in range(5):
        assert all(moved(Scene(page.room_for_all()), name) for name in CHANGES)
    rooms = [moved(Scene(seed), "glasses") for seed in range(TEST.start, TEST.start + 40)]
    assert 0 < sum(rooms) < len(rooms), "some wear glasses"


# ---- stored examples -----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, entrants) -> Iterator:
    with stocked(tmp_path):
        command.make(entrants)
        yield tmp_path / "comparison"


def test_a_stored_example_stands_there_as_if_it_had_been_run(folder, entrants):
    found = store.read(entrants)
    assert [entry.name for entry in found] == list(command.CHOSEN)
    handlers = Handlers(entrants)
    for entry, (thing, *_, change, _first) in zip(found, command.CHOSEN.values(), strict=True):
        shown = store.page(handlers, entry)
        live = last(run(entrants, shown["given"], change, shown["seed"], tuple(
            shown[key] for key in ("thing", "look", "shift", "focus"))))  # fmt: skip
        assert shown["thing"] == thing and shown["change"] == change
        for entrant in entrants:
            edit = cards.edit_of(entrant.paper.slug)
            assert shown[edit] == live[edit], "pictures are stored without loss"
        assert shown[cards.TRUTH] == live[cards.TRUTH]
        for other in CHANGES:
            (news,) = handlers.change(shown["subject"], other)
            assert news.keys() == {cards.TRUTH, *map(cards.edit_of, shown["subject"].inverted)}


def test_a_paper_whose_networks_changed_is_left_out(folder, entrants):
    index = json.loads((folder / "stored.json").read_text())
    index["editgan"] = [{**entry, "weights": {"other": "1"}} for entry in index["editgan"]]
    (folder / "stored.json").write_text(json.dumps(index))
    shown = store.page(Handlers(entrants), store.read(entrants)[0])
    assert "Press the button" in shown["editgan"] and "PSNR" in shown["sam_inversion"]
    for entries in index.values():
        entries[:] = [{**entry, "weights": {"other": "1"}} for entry in entries]
    (folder / "stored.json").write_text(json.dumps(index))
    assert store.read(entrants) == []


def test_a_paper_that_is_switched_off_keeps_what_is_stored(folder, entrants):
    fewer = entrants[:2]
    shown = store.page(Handlers(fewer), store.read(fewer)[0])
    assert "mm2latent" not in shown and "PSNR" in shown["editgan"]
    command.make(fewer)
    assert "PSNR" in store.page(Handlers(entrants), store.read(entrants)[0])["mm2latent"]


def test_one_paper_is_computed_anew_for_the_same_scenes(folder, monkeypatch):
    before = json.loads((folder / "stored.json").read_text())
    changed = taking_part(ON, indomain=FakeInDomain(fingerprint="other"))
    monkeypatch.setattr(command, "entrants", lambda *_: changed)
    monkeypatch.setattr("sys.argv", ["comparison", "indomain"])
    command.main()
    after = json.loads((folder / "stored.json").read_text())
    assert len(changed[0].load().calls) == len(CHANGES) * len(command.CHOSEN) + len(command.CHOSEN)
    assert not any(entrant.load().calls for entrant in changed[1:])
    assert {k: v for k, v in after.items() if k != FIRST} == {
        k: v for k, v in before.items() if k != FIRST
    }
    monkeypatch.setattr("sys.argv", ["comparison", "sixth"])
    with pytest.raises(SystemExit):
        command.main()


def test_the_best_candidate_is_stored_by_a_number_for_all_papers(entrants):
    result = store.computed(entrants, scene(NOTHING), "One", "smile")
    edits = [e for part in result.made.values() for e in part.values["edited"].values()]
    assert len(edits) == 3 * len(entrants) - 1
    nearer = [e["unedited"]["lpips"] - e["measures"]["lpips"] for e in edits]
    assert result.gain == pytest.approx(np.mean(nearer))
