"""The picker: what a domain costs before it is downloaded, the change, and every way to fail."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.context import LocalContext
from PIL import Image

import app
import weights
from demos.header import picker, readiness
from demos.header.readiness import Source
from demos.indomain import manipulate, setting
from demos.kit.bridge import BOARD, CLAY, Pipelines, Stop, stream
from demos.kit.handover import exchange_of
from demos.kit.inputs import GPU
from demos.kit.words import strangers
from demos.papers import PAPERS
from tests.demos.browsing import CHROMIUM, new_portrait, panel, press
from tests.demos.fake_domains import FakePhotos, FakeShelf, noise
from tests.demos.fake_pipeline import FakeInDomain
from tests.demos.preparation import serving
from tests.demos.visitor import until

INDOMAIN, EDITGAN = [PAPERS[0]], [PAPERS[1]]
ALONE = "EditGAN's page edits clay heads alone"
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the path")


@pytest.fixture
def shelf() -> FakeShelf:
    return FakeShelf()


def desk(shelf: FakeShelf, papers=INDOMAIN, load=None) -> picker._Desk:
    source = shelf.source
    return picker._Desk(papers, load or (lambda domain: None), source, readiness.Sizes(source))


def card_and_button(handlers: picker._Desk, name: str) -> tuple[str, dict]:
    """What is shown of a chosen domain."""
    shown = handlers.show(name)
    return shown["card"], shown["run"]


def through(handler) -> list[dict]:
    """Everything that a handler yields."""
    return list(handler)


def chosen(name: str, *without: str) -> dict:
    """What a browser remembers of a choice."""
    return {"domain": name, "without": list(without)}


def in_use(answer: dict) -> str | None:
    """The domain that an answer changes to, None if it changes nothing."""
    return answer.get("domain")


def test_the_choice_says_what_is_ready_and_what_is_not(shelf) -> None:
    assert desk(shelf).choices() == [
        ("Clay heads: ready offline", "clay-heads"),
        ("Photographs of faces: 100 MB to download", "photos"),
        ("Photographs of towers: 1 network is to be installed by hand", "towers"),
    ]
    assert dict(desk(shelf, EDITGAN).choices()) == {
        "Clay heads: ready offline": "clay-heads",
        f"Photographs of faces: {ALONE}, 1 network is not trained yet": "photos",
    }
    shelf.fetched = ["photos/net", "faces/judge"]
    states = dict((name, label) for label, name in desk(shelf, PAPERS).choices())
    assert states["photos"] == "Photographs of faces: ready in part"


def test_no_page_calls_editgan_ready_outside_clay_heads(shelf) -> None:
    pages = tuple(weights.Page(paper, (), ()) for paper in ("indomain", "editgan"))
    photos = weights.Domain("photos", "Photographs", (8, 8), (), 0, 0, pages)  # with a branch
    source = Source(lambda: [*shelf.domains()[:1], photos])
    home, page = (
        picker._Desk(papers, None, source, readiness.Sizes(source)) for papers in (PAPERS, EDITGAN)
    )
    assert [label for label, _ in home.choices()] == [
        "Clay heads: ready offline", "Photographs: ready in part",
    ]  # fmt: skip
    assert [label for label, _ in page.choices()][1] == f"Photographs: {ALONE}"
    for shown in (home.show("photos"), page.show("photos")):
        part = shown["card"].partition("EditGAN</h4>")[2]
        assert "Does not run yet" in part and ALONE in part and "Runs now" not in part
    assert home.show(CLAY)["card"].count("Runs now") == 2


def test_a_card_comes_before_any_download(shelf) -> None:
    card, button = card_and_button(desk(shelf), "photos")
    for part in ("Photographs of faces", "NVIDIA-NC, MIT", "<dd>100 MB</dd>", "without 1 of its"):
        assert part in card
    assert button["value"] == "Download 100 MB, then use it" and button["interactive"]
    card, button = card_and_button(desk(shelf, EDITGAN), "photos")
    assert "1 network is not trained yet" in card
    assert "<dd>80 MB, once the rest is there</dd>" in card and not button["interactive"]
    card, button = card_and_button(desk(shelf, PAPERS), "photos")
    assert "In-domain inversion</h4>" in card and "EditGAN</h4>" in card
    assert shelf.asked == []


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 MB"), (1, "1 MB"), (381_462_551, "381 MB"), (1.2e9, "1.2 GB")]
)
def test_sizes_in_words(count, words) -> None:
    assert readiness.size(int(count)) == words


def test_use_downloads_loads_and_changes(shelf) -> None:
    loaded = []
    answers = through(desk(shelf, load=loaded.append).use("photos", CLAY, Stop()))
    assert shelf.fetched == ["photos/net", "faces/judge"] and loaded == ["photos"]
    assert [in_use(answer) for answer in answers[:-1]] == [None] * (len(answers) - 1)
    assert "Downloading file 1 of 2: 0 MB of 80 MB" in answers[0]["words"]
    last = answers[-1]
    assert (
        in_use(last) == "photos"
        and last["remembered"] == chosen("photos")
        and "is in use" in last["words"]
    )
    assert last["header"]["label"] == "Domain: Photographs of faces"
    assert last["choice"]["choices"][1] == ("Photographs of faces: ready offline", "photos")
    assert last["run"]["value"] == "Use it"


def test_use_without_a_download(shelf) -> None:
    loaded = []
    handlers = desk(shelf, load=loaded.append)
    shelf.fetched = ["photos/net", "faces/judge"]
    assert in_use(through(handlers.use("photos", CLAY, Stop()))[-1]) == "photos"
    assert in_use(through(handlers.use(CLAY, "photos", Stop()))[-1]) == CLAY
    assert shelf.asked == [] and loaded == ["photos"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [("online", "There is no connection to where its files are. What has arrived is kept."),
     ("damaged", "A file of a network is not the one that was expected, so that it is not used.")],
)  # fmt: skip
def test_a_failing_need_is_one_sentence_and_changes_nothing(shelf, caplog, fault, words) -> None:
    setattr(shelf, fault, fault == "damaged")
    last = through(desk(shelf).use("photos", CLAY, Stop()))[-1]
    assert in_use(last) is None
    assert last["words"].endswith(f"<b>Clay heads</b> stays in use. {words}</p>")
    assert len(shelf.asked) == 1 and shelf.fetched == []
    assert "photos/net: expected" in caplog.text, "whoever runs the app is told the reason"


def test_a_failing_extra_is_said_and_does_without(shelf) -> None:
    shelf.fetched, shelf.online = ["photos/net"], False
    last = through(desk(shelf).use("photos", CLAY, Stop()))[-1]
    assert in_use(last) == "photos"
    assert f"{picker.LEFT_OUT}There is no connection to where its files are." in last["words"]


def test_out_of_reach_is_refused_without_a_request(shelf) -> None:
    last = through(desk(shelf).use("towers", CLAY, Stop()))[-1]
    assert in_use(last) is None and "lacks: 1 network is to be installed" in last["words"]
    with pytest.raises(Exception, match="domain must be one of clay-heads, photos, towers"):
        through(desk(shelf).use("classes", CLAY, Stop()))
    assert shelf.asked == []


def test_stop_ends_a_download(shelf) -> None:
    stop = Stop()
    shelf.gate.clear()
    handler = desk(shelf).use("photos", CLAY, stop)
    next(handler)
    stop.press()
    shelf.gate.set()
    last = through(handler)[-1]
    assert in_use(last) is None and picker.STOPPED in last["words"] and shelf.fetched == []


def test_another_page_remembers_what_is_ready(shelf) -> None:
    restore = desk(shelf).restore
    assert [in_use(a) for a in through(restore(chosen(CLAY), CLAY, Stop()))] == [None]
    assert [in_use(a) for a in through(restore(chosen("gone"), CLAY, Stop()))] == [None]
    (answer,) = through(restore(chosen("photos"), CLAY, Stop()))
    assert (
        in_use(answer) is None and "not ready on this page: 100 MB to download" in answer["words"]
    )
    assert shelf.asked == [], "a remembered domain must not start a download"
    shelf.fetched = ["photos/net", "faces/judge"]
    assert in_use(through(restore(chosen("photos"), CLAY, Stop()))[-1]) == "photos"


def test_a_remembered_domain_starts_no_download_of_an_extra(shelf) -> None:
    shelf.fetched, loaded = ["photos/net"], []
    handlers = desk(shelf, load=loaded.append)
    (answer,) = through(handlers.restore(chosen("photos"), CLAY, Stop()))
    assert (
        in_use(answer) is None and "not complete on this page: 20 MB to download" in answer["words"]
    )
    assert shelf.asked == loaded == []


def test_what_a_visitor_did_without_is_done_without_on_every_page(shelf) -> None:
    pipelines = Pipelines(lambda domain: domain)
    indomain = desk(shelf, load=pipelines)
    shelf.fetched, shelf.online = ["photos/net"], False
    remembered = through(indomain.use("photos", CLAY, Stop()))[-1]["remembered"]
    assert remembered == chosen("photos", "faces/judge")
    shelf.online, shelf.asked = True, []
    source = shelf.source
    home = picker._Desk(PAPERS, None, source, readiness.Sizes(source))
    for handlers in (indomain, home):
        last = through(handlers.restore(remembered, CLAY, Stop()))[-1]
        assert in_use(last) == "photos" and "does without what was left out" in last["words"]
        assert (
            last["remembered"] == remembered
            and last["run"]["value"] == "Download 20 MB, then use it"
        )
    others_choice = through(indomain.restore(chosen("photos"), CLAY, Stop()))
    fresh = desk(shelf, load=Pipelines(lambda _: pytest.fail("loading would fetch the extra")))
    for (answer,) in (others_choice, through(fresh.restore(remembered, CLAY, Stop()))):
        assert in_use(answer) is None and "not complete on this page: 20 MB" in answer["words"]
    assert shelf.asked == []
    last = through(indomain.use("photos", CLAY, Stop()))[-1]
    assert shelf.asked == ["faces/judge"] and last["remembered"] == chosen("photos")


def test_pipelines_are_built_once_a_domain() -> None:
    built = []
    pipelines = Pipelines(lambda domain: built.append(domain) or [domain])
    assert pipelines() is pipelines(CLAY) and pipelines("photos") == ["photos"]
    pipelines.warm_up()
    threads = [threading.Thread(target=pipelines, args=("towers",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [CLAY, "photos", "towers"]


def test_the_line_says_what_runs_and_what_waits(shelf) -> None:
    assert "Nothing is running." in picker.now_running()
    shelf.gate.clear()
    handler = desk(shelf).use("photos", CLAY, Stop())
    next(handler)
    until(lambda: "25%" in str(BOARD.running))
    assert picker.now_running().count("Downloading file 1 of 2, 25%") == 1
    shelf.gate.set()
    through(handler)
    assert BOARD.running == []

    events = [SimpleNamespace(fn=SimpleNamespace(name=name)) for name in ("diffuse", "mix_styles")]
    place = {GPU["concurrency_id"]: SimpleNamespace(queue=events)}
    queue = SimpleNamespace(event_queue_per_concurrency_id=place)
    token = LocalContext.blocks.set(SimpleNamespace(_queue=queue))
    try:
        assert "Nothing is running. Waiting: diffuse, mix styles." in picker.now_running()
    finally:
        LocalContext.blocks.reset(token)


def test_a_stage_that_fails_leaves_the_board() -> None:
    def work(on_step) -> None:
        raise ValueError("no")

    with pytest.raises(Exception, match="no"):
        list(stream(work, Stop()))
    assert BOARD.running == []


def test_a_photo_domain_has_its_own_setting() -> None:
    at = setting.setting_of("photos", FakePhotos(), ("faces/yunet",))
    assert (at.side, at.layers, at.faces, at.rendered) == (64, 14, True, False)
    assert [a.label for a in at.attributes] == ["Pose", "Eyeglasses"]
    assert manipulate.in_words({"pose": 1.5}, at) == "Changed: pose +1.5."
    assert manipulate.undo([(1, 0)], 2) == ([], 0, 0)
    assert not setting.setting_of("towers", FakePhotos()).faces
    assert setting.CLAY_HEADS.methods == tuple(setting.METHODS)


def test_a_single_slider_goes_back_to_its_rest() -> None:
    one = FakePhotos(boundaries={"pose": SimpleNamespace(low=-3.0, high=3.0)})
    with gr.Blocks() as demo:
        exchange = exchange_of(INDOMAIN[0], one.size, everywhere=False)
        manipulate.build(lambda: one, exchange, setting.setting_of("photos", one))
    (rest,) = (
        fn for fn in demo.fns.values() if [getattr(o, "label", "") for o in fn.outputs] == ["Pose"]
    )
    with ThreadPoolExecutor(1) as apart:  # this thread may have Chromium's event loop already
        answer = apart.submit(asyncio.run, demo.process_api(rest, [])).result()
    assert answer["data"] == [0]


def test_an_uncalibrated_domain_says_so() -> None:
    found = FakePhotos().invert(Image.fromarray(noise(64)))
    words = strangers({"the target": found.measures.inside})
    assert "not calibrated" in words and "outside" not in words


# ---- in a browser ----------------------------------------------------------------------------


@pytest.fixture
def site(shelf):
    """The app with clay heads and photographs, both made up; its address."""
    photos = FakePhotos()
    pipelines = {"clay-heads": FakeInDomain(), "photos": photos}
    demo = app.build({"indomain": Pipelines(pipelines.__getitem__)}, shelf.source)
    with serving(demo) as url:
        yield url


@pytest.fixture
def face(tmp_path) -> str:
    Image.fromarray(noise()).save(tmp_path / "face.png")
    return str(tmp_path / "face.png")


def choose(page, title: str) -> None:
    page.locator("#domain-picker > button").click()
    page.get_by_label(title).check()
    page.locator(".domain-card").get_by_role("heading", name=title, exact=True).wait_for()


def said(page):
    return page.locator("#domain-words")


def rebuilt(page) -> None:
    """The parts are those of photographs, of which no portraits are drawn: what is pressed before
    that goes with the parts that stood there."""
    from playwright.sync_api import expect

    expect(page.get_by_role("button", name="New portrait")).to_have_count(0)


def in_use_now(page):
    return page.locator("#domain-picker > button")


@in_browser
def test_a_visitor_changes_to_photographs_and_back(visit, site, shelf, face) -> None:
    from playwright.sync_api import expect

    page, other = visit(f"{site}/indomain"), visit(f"{site}/indomain")
    shelf.gate.clear()
    choose(page, "Photographs of faces")
    page.get_by_role("button", name="Download 100 MB, then use it").click()
    expect(said(page)).to_contain_text("Downloading file 1 of 2")
    expect(page.locator("#now-running")).to_contain_text("Downloading")
    shelf.gate.set()
    expect(said(page)).to_contain_text("is in use")
    expect(in_use_now(page)).to_contain_text("Photographs of faces")
    rebuilt(page)
    tab = panel(page, "Invert")
    expect(tab.get_by_text("pipelines.training.conventional")).to_be_visible()
    tab.locator("input[type=file]").first.set_input_files(face)
    tab.locator(".image-frame img").first.wait_for()
    press(tab, "Invert by all three")
    expect(page.locator("#invert-report")).to_contain_text("not calibrated")
    expect(page.locator("#invert-numbers tbody tr")).to_have_count(3)
    # Another visitor is where he was; the same one finds the domain again.
    expect(in_use_now(other)).to_contain_text("Clay heads")
    assert other.get_by_role("button", name="New portrait").filter(visible=True).count()
    page.reload()
    expect(in_use_now(page)).to_contain_text("Photographs of faces")
    page.goto(f"{site}/editgan")
    expect(said(page)).to_contain_text("not ready on this page")
    page.goto(f"{site}/indomain")
    expect(in_use_now(page)).to_contain_text("Photographs of faces")
    choose(page, "Clay heads")
    page.get_by_role("button", name="Use it", exact=True).click()
    expect(in_use_now(page)).to_contain_text("Clay heads")
    page.get_by_role("button", name="New portrait").filter(visible=True).first.wait_for()
    assert page.get_by_role("tab", name="Invert", exact=True).count() == 1


@in_browser
def test_sliders_are_those_of_the_domain(visit, site, shelf, face) -> None:
    from playwright.sync_api import expect

    shelf.fetched = ["photos/net", "faces/judge"]
    page = visit(f"{site}/indomain")
    choose(page, "Photographs of faces")
    page.get_by_role("button", name="Use it", exact=True).click()
    expect(said(page)).to_contain_text("is in use")
    rebuilt(page)
    tab = panel(page, "Manipulate")
    expect(tab.get_by_text("No slider for age")).to_be_visible()
    expect(tab.get_by_text("Show the true answer")).to_have_count(0)
    tab.locator("input[type=file]").first.set_input_files(face)
    tab.locator(".image-frame img").first.wait_for()
    press(tab, "Invert")
    words = page.locator("#manipulate-words")
    expect(words).to_contain_text("Nothing is changed")
    tab.get_by_label("range slider for Pose").focus()
    page.keyboard.press("ArrowRight")
    expect(words).to_contain_text("pose +0.15")
    press(tab, "Undo")
    expect(words).to_contain_text("Nothing is changed")


@in_browser
def test_offline_is_said_and_clay_heads_go_on(visit, site, shelf) -> None:
    from playwright.sync_api import expect

    shelf.online = False
    page = visit(f"{site}/indomain")
    choose(page, "Photographs of faces")
    page.get_by_role("button", name="then use it").click()
    expect(said(page)).to_contain_text("There is no connection")
    expect(said(page)).to_contain_text("Clay heads stays in use.")
    expect(in_use_now(page)).to_contain_text("Domain: Clay heads")
    new_portrait(page)
