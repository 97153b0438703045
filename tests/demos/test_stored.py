"""Stored results: what the pages show before any network runs, and what a visitor does with it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image
from safetensors.numpy import load_file

import app
import weights
from demos.editgan import PAPER as editgan
from demos.editgan import example, session
from demos.indomain import PAPER as indomain
from demos.indomain import diffuse, mix
from demos.indomain.setting import CLAY_HEADS, origin
from demos.kit import part_masks
from demos.kit.dials import Dials
from demos.kit.painter import MaskPainter, mask_painter
from demos.kit.stored import notice
from demos.papers import PAPERS, SLUGS
from examples import stored
from examples.clay.edits import EDITS
from examples.clay.parts import PARTS
from examples.editgan.__main__ import CHOSEN as EDITED
from examples.indomain import results
from examples.indomain.__main__ import CHOSEN
from examples.portraits import rendered
from pipelines.latents import fingerprint, load_codes
from pipelines.networks.stylegan2 import Generator
from tests.demos.fake_editgan import FakeEditGAN, face
from tests.demos.shelves import shipped, stocked
from tests.demos.visitor import Visitor

INDOMAIN, EDITGAN = indomain.stored, editgan.stored
SHELVES = [paper.stored for paper in PAPERS if paper.page]
NO_STROKES = {"labels": "", "part": 0}
WHOLE = (0.5, 0.5, 1)


# ---- what is shipped --------------------------------------------------------------------


def filled(demo: gr.Blocks) -> dict[str, list]:
    """By endpoint: the components that a stored result fills, of every choice of results."""
    named = {str(fn.api_name): fn.outputs for fn in demo.fns.values()}
    return {
        name.removeprefix("page_"): outputs for name, outputs in named.items() if "_stored_" in name
    }


def is_empty(component) -> bool:
    """Whether a component shows nothing at the start."""
    if isinstance(component, MaskPainter):
        labels = component.value["labels"]
        return not component.props["predicted"] or not any(base64.b64decode(labels))
    if isinstance(component, Dials) and component.props["rows"] is not None:
        return False  # the library, whose names come with the networks
    if isinstance(component, gr.State | gr.Dropdown | gr.Column | gr.Tabs):
        return False  # asked for by name in the tests below, or only shown and hidden
    return component.value in (None, "", [], ())


STARTED = {  # of each page the endpoints that fill its parts
    "indomain": {"diffusion", "inversion", "interpolation", "manipulation", "mixture"},
    "editgan": {"edit"},
    "sam_inversion": {"scene"},
    "mm2latent": {"generate", "edit"},
    "diffusion_inversion": {"request"},
}
# What stays empty until a visitor asks for more than an example shows.
LATER = {"diffusion-at-t", "diffusion-t-words", "diffusion-strip", "diffusion-style",
         "diffusion-styled", "diffusion-true", "diffusion-scribble", "manipulate-in-domain",
         "manipulate-image2stylegan", "manipulate-against"}  # fmt: skip


def test_every_part_of_the_real_pages_starts_with_a_stored_result(pages):
    parts = filled(pages)
    running = [paper.slug for paper in PAPERS if paper.page]
    expected = {f"{slug}_stored_{part}" for slug in running for part in STARTED[slug]}
    assert set(parts) == expected | {"comparison_stored_scene"}
    for name, outputs in parts.items():
        shown = [component for component in outputs if component.elem_id not in LATER]
        empty = [component.label for component in shown if is_empty(component)]
        # The comparison has words of a run that went astray, and its state.
        silent = [None, None] if name == "comparison_stored_scene" else []
        assert len(outputs) > 5 and empty == silent, f"{name}: {empty}"
    for name in ("indomain_stored_manipulation", "indomain_stored_mixture", "editgan_stored_edit"):
        held = [c.value for c in parts[name] if isinstance(c, gr.State)]
        assert any(isinstance(value, stored.Stored) and value.codes for value in held), name


@pytest.mark.parametrize("shelf", SHELVES, ids=lambda shelf: shelf.paper)
def test_shipped_results_come_from_the_shipped_weights(shelf):
    """They are made anew with `python -m examples.<page>` when these weights change."""
    assert shelf.current and notice(shelf) == ""
    for kind, entries in shelf.entries().items():
        assert entries and len(shelf.read(kind)) == len(entries), kind


def test_shipped_codes_belong_to_the_shipped_generator():
    generator = weights.load(Generator, "clay-heads/generator")
    own, shape = fingerprint(generator.synthesis), (generator.num_ws, generator.w_dim)
    kept = [entry for kind in ("manipulate", "mix") for entry in INDOMAIN.read(kind)]
    kept += EDITGAN.read("edit")
    assert len(kept) >= 7
    for entry in kept:
        assert load_codes(entry.codes, own, shape), entry.name


def test_shipped_edits_did_what_was_painted():
    for entry in EDITGAN.read("edit"):
        embedding, edit = session.kept_fields(entry)
        page = example.page(entry)
        assert edit["region"].any() and (embedding["mask"] != edit["mask"])[edit["region"]].any()
        assert all(kept["losses"][-1] < kept["losses"][0] for kept in (embedding, edit))
        share, before = (
            part_masks.agreement(np.asarray(entry.pictures["painted"]), mask, edit["region"])
            for mask in (edit["mask"], embedding["mask"])
        )
        assert share > max(before, 0.85) and f"<b>{share:.0%}</b>" in page.report
        edited, unedited = re.findall(r"([\d.]+) dB", page.verdict)
        assert float(edited) >= max(float(unedited), 20)
        seed, picture = entry.values["seed"], entry.pictures["picture"]
        assert picture.tobytes() == rendered(seed).tobytes()  # Embed then knows the true answer too


def test_stored_files_are_small():
    folders = [f for shelf in SHELVES for f in shelf.folder.glob("*-*/") if f.is_dir()]
    sizes = {f.name: sum(p.stat().st_size for p in f.iterdir()) for f in folders}
    new = [
        size for name, size in sizes.items() if name.split("-")[0] in ("manipulate", "mix", "edit")
    ]
    assert sum(new) < 1_500_000


def test_a_write_that_is_cut_short_leaves_the_old_results(tmp_path, monkeypatch):
    picture = Image.new("RGB", (8, 8), "teal")
    results = [stored.Stored(name, {}, {"picture": picture}) for name in ("one", "two")]
    saved = Image.Image.save

    def save(picture: Image.Image, path: Path, **options) -> None:
        if path.parent.name == "invert-2":
            path.touch()  # as a process that is ended here leaves it
            raise KeyboardInterrupt
        saved(picture, path, **options)

    with stocked(tmp_path):
        INDOMAIN.write({"invert": results})
        monkeypatch.setattr(Image.Image, "save", save)
        with pytest.raises(KeyboardInterrupt):
            INDOMAIN.write({"invert": results[::-1]})
        assert [e.name for e in INDOMAIN.read("invert")] == ["one", "two"]


# ---- showing them -----------------------------------------------------------------------


def test_all_kinds_are_stored(shelves):
    with stocked(shelves):
        made = {kind: [e.name for e in INDOMAIN.read(kind)] for kind in CHOSEN}
        edited = [entry.name for entry in EDITGAN.read("edit")]
    assert made == {kind: list(chosen) for kind, chosen in CHOSEN.items()}
    assert edited == list(EDITED)


def test_a_kind_is_made_anew_and_the_others_stay(shelves, tmp_path):
    with stocked(shelves):
        old = {kind: INDOMAIN.read(kind) for kind in ("mix", "invert")}
    with stocked(tmp_path):
        INDOMAIN.write(old)
        INDOMAIN.write({"invert": old["invert"][:1]})
        now = {kind: INDOMAIN.read(kind) for kind in CHOSEN}
    assert [len(now[kind]) for kind in ("mix", "invert", "diffuse")] == [2, 1, 0]
    assert now["mix"][0].pictures.keys() == old["mix"][0].pictures.keys()
    codes = [load_file(entry["mix"][0].codes) for entry in (now, old)]
    assert all((codes[0][name] == codes[1][name]).all() for name in codes[1])


def test_nothing_is_loaded_to_show_them(shelves):
    with stocked(shelves):
        demo = app.build(dict.fromkeys(SLUGS, lambda: pytest.fail("a result loads no networks")))
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    client = Visitor(url)
    shown = client.predict(list(CHOSEN["diffuse"])[1], api_name="/indomain_stored_diffusion")
    assert len(shown[2]) == 2 and "after 100 steps" in shown[8]
    *_, table, report = client.predict("Portrait two", api_name="/indomain_stored_inversion")
    assert table.count("<tr") == 5 and report
    assert client.predict("A longer way", api_name="/indomain_stored_interpolation")
    shown = client.predict("Turned, and smiling", api_name="/indomain_stored_manipulation")
    assert "smile +0.5, turn +15" in shown[5] and "true answer" in shown[5]
    assert dict(zip(EDITS, shown[-len(EDITS) :], strict=True)) == dict.fromkeys(EDITS, 0) | {
        "smile": 0.5, "yaw": 15.0,
    }  # fmt: skip
    contents, styles, layers, grid, words = client.predict(
        "More layers", api_name="/indomain_stored_mixture"
    )
    assert len(contents) == len(styles) == 2 and layers == 7 and "last 7 of 12" in words
    assert Image.open(grid).size[1] > 3 * 180
    shown = client.predict("Eyes closed", api_name="/editgan_stored_edit")
    assert "Embedded after 100 steps" in shown[3] and "Done after 60 steps" in shown[7]
    for endpoint in ("/editgan_files", "/indomain_manipulate_files", "/indomain_mix_files"):
        files = {Path(f).name: f for f in client.predict(False, api_name=endpoint)}
        assert len(files) > 2 and load_file(files["latent.safetensors"])
    client.close()
    demo.close()


PARTS_OF_THE_PAGE = {  # kind -> its endpoint and what of it is kept, by the names stored and kept
    "diffuse": ("diffusion", {"diffused-1": "diffused-1", "diffused-2": "diffused-2"}),
    "invert": ("inversion", {"picture-1": "picture", "in-domain-1": "in-domain"}),
    "interpolate": ("interpolation", {"in-domain-1": "in-domain-1"}),
    "manipulate": ("manipulation", {"edited": "edited"}),
    "mix": ("mixture", {"mix-1-1": "mix-1-1"}),
}


@pytest.mark.parametrize("kind", PARTS_OF_THE_PAGE)
def test_the_files_are_those_of_the_example_that_is_shown(client, shelves, kind):
    endpoint, kept = PARTS_OF_THE_PAGE[kind]
    with stocked(shelves):
        entries = INDOMAIN.read(kind)
    for entry in (None, *entries[::-1]):  # None: what the page starts with
        if entry is not None:
            client.predict(entry.name, api_name=f"/indomain_stored_{endpoint}")
        files = client.predict(True, api_name=f"/indomain_{kind}_files")
        found = {Path(file).stem: file for file in files}
        for name, taken in kept.items():
            shown = (entry or entries[0]).pictures[name]
            assert Image.open(found[taken]).tobytes() == shown.tobytes()
        parameters = json.loads(Path(found["parameters"]).read_text())
        assert parameters["steps"] == (50 if kind == "mix" else 100)


def test_an_example_takes_the_place_of_an_own_result(client, tmp_path):
    shipped(2_000_003).save(tmp_path / "own.png")
    own = handle_file(str(tmp_path / "own.png"))
    client.predict(own, *WHOLE, None, 10, api_name="/indomain_invert")
    client.predict("Portrait two", api_name="/indomain_stored_inversion")
    files = client.predict(True, api_name="/indomain_invert_files")
    parameters = json.loads(Path(files[-1]).read_text())
    assert parameters["picture"] == {"seed": 2_000_008, "square": list(WHOLE)}


@pytest.mark.parametrize(("name", "places"), [(None, (8, 15)), ("Another face", (30, 4))])
def test_the_parameters_of_an_example_name_the_seeds_of_its_gallery(client, tmp_path, name, places):
    """Also when it is diffused again; None: what the page starts with."""
    if name is not None:
        client.predict(name, api_name="/indomain_stored_diffusion")
    contexts = []
    for place in places:
        shipped(2_000_000 + place).save(tmp_path / f"{place}.png")
        contexts.append({"image": handle_file(str(tmp_path / f"{place}.png")), "caption": None})
    for steps in (100, 10):
        files = client.predict(True, api_name="/indomain_diffuse_files")
        found = json.loads(Path(files[-1]).read_text())
        assert [context["seed"] - 2_000_000 for context in found["contexts"]] == list(places)
        assert found["steps"] == steps
        client.predict(
            contexts[0]["image"], *WHOLE, None, contexts, 0.5, 0.5, 0.4, 0.4, 10, False,
            api_name="/indomain_diffuse",
        )  # fmt: skip


def test_a_stored_mixture_keeps_the_seeds_it_was_made_with(fake, monkeypatch):
    seeds = {"contents": [2_000_024, 2_000_053], "styles": [2_000_063]}
    monkeypatch.setattr(results, "rendered", shipped)
    entry = results.mix(fake, "one", *seeds.values())
    shown = mix._example(entry)
    named = {side: [origin(seed) for seed in some] for side, some in seeds.items()}
    assert shown["keep"].parameters == {"layers": 4, **named, "steps": 50}
    assert {side: shown[f"drawn {side}"] for side in seeds} == seeds
    keep = mix._Part(lambda: fake, CLAY_HEADS).remix(entry, 6)["keep"]
    assert keep.parameters == {"layers": 6, **named, "steps": 50}


def test_an_example_without_seeds_says_nothing_of_its_galleries(shelves):
    with stocked(shelves):
        entries = [(part, INDOMAIN.read(part.__name__.rpartition(".")[2])[0])
                   for part in (diffuse, mix)]  # fmt: skip
    for part, entry in entries:
        values = {key: value for key, value in entry.values.items() if key != "seeds"}
        shown = part._example(stored.Stored(entry.name, values, entry.pictures, entry.codes))
        assert not {"contexts", "contents", "styles"} & shown["keep"].parameters.keys()


def test_other_weights_leave_the_pages_empty_and_say_so(shelves, monkeypatch):
    other = dict.fromkeys(EDITGAN.weights, "0" * 64)
    monkeypatch.setattr(stored.StoredResults, "checksums", other)
    with stocked(shelves):
        demo = app.build()
        assert not EDITGAN.read("edit") and not INDOMAIN.read("mix")
    assert filled(demo) == {}
    said = [str(block.value) for block in demo.blocks.values() if isinstance(block, gr.HTML)]
    told = "made with other networks than those that are in use"
    assert sum(told in words for words in said) == len(SHELVES)
    assert not any("python -m" in words for words in said)
    painters = [block for block in demo.blocks.values() if isinstance(block, MaskPainter)]
    assert painters and all(map(is_empty, painters))


# ---- going on with them -----------------------------------------------------------------


def labels_of(answer: dict) -> np.ndarray:
    return mask_painter(render=False).preprocess(answer.get("value", answer)).labels


def test_an_edit_by_name_fills_the_page(client):
    (picture, seed, embedded, _, pair, mask, opened, report, answer, verdict, history, parts, story,
     _, library, *steps) = _shown(client, "Longer hair")  # fmt: skip
    assert seed == 2_000_021 and Image.open(picture).size == (128, 128) and embedded and story
    assert len(pair) == 2 and Image.open(mask).size == (512, 512)
    assert "as painted" in report and "<svg" in report and answer["value"] and answer["visible"]
    assert "change: longer hair." in verdict and history == [["painted longer hair", 1.0]]
    assert (labels_of(opened) != face()).any() and opened["props"]["session"]
    assert [name for name, _ in parts["choices"]] == list(PARTS) and library == []
    assert steps == [100, 60] and "after 60 steps" in report  # the dials, as the words say


def _shown(client, name: str) -> list:
    """The seventeen outputs that a client sees."""
    found = client.predict(name, api_name="/editgan_stored_edit")
    assert len(found) == 17
    return found


def test_the_first_slider_goes_on_from_the_stored_edit(client, fake_editgan):
    report, *_, history = client.predict(
        [["bigger eyes", -1.0]], NO_STROKES, api_name="/editgan_apply"
    )
    (first, second), done = history, fake_editgan.calls[-1]
    assert first == ["painted glasses off", 1.0] and second == ["bigger eyes", -1.0]
    assert done == ("apply", (("painted glasses off", 1.0), ("bigger eyes", -1.0)))
    assert "painted glasses off +1, bigger eyes -1: applied" in report


def test_the_stored_edit_is_weakened_and_taken_back(client, fake_editgan):
    report, pair, *_ = client.predict(
        [["painted glasses off", 0.5]], NO_STROKES, api_name="/editgan_reweigh"
    )
    assert fake_editgan.calls[-1] == ("apply", (("painted glasses off", 0.5),))
    report, pair, *_ = client.predict([], NO_STROKES, api_name="/editgan_reweigh")
    before, after = (np.asarray(Image.open(path)) for path in pair)
    assert (before == after).all() and "this is the embedding" in report


def test_painting_goes_on_from_the_stored_edit(client):
    opened = _shown(client, "Glasses off")[6]
    labels = labels_of(opened).copy()
    labels[80:83, 60:66] = PARTS.index("lower lip")
    history = client.predict(
        {**opened["value"], "labels": example.painter.Painting(labels, 20).value["labels"]},
        ["lower lip"], 10, api_name="/editgan_optimise",
    )[5]  # fmt: skip
    assert history == [["painted glasses off", 1.0], ["lower lip", 1.0]]


def test_the_true_answer_follows_the_stored_edit():
    from demos.editgan.truth import truth

    with pytest.MonkeyPatch.context() as patch:
        asked = []
        patch.setattr("examples.clay.portrait", lambda seed, **o: asked.append(o) or _Rendered)
        assert truth(2_000_050, {"painted smile": 0.5}) and asked[0]["smile"] > 0
        assert truth(2_000_050, {"painted wings": 0.5}) is None
        assert truth(2_000_050, {"smile": 1.0, "upper lip": 1.0}) is None


class _Rendered:
    image = np.zeros((8, 8, 3), np.uint8)


def test_a_stored_edit_of_another_generator_is_refused_and_the_page_serves(shelves, tmp_path):
    with stocked(shelves):
        demo = app.build({"editgan": lambda: FakeEditGAN(fingerprint="0" * 64, library={})})
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    client = Visitor(url)
    for endpoint in ("/editgan_apply", "/editgan_reweigh"):
        with pytest.raises(Exception, match="made with other weights than those that are loaded"):
            client.predict([], NO_STROKES, api_name=endpoint)
    shipped(2_000_003).save(tmp_path / "own.png")
    own = handle_file(str(tmp_path / "own.png"))
    assert client.predict(own, *WHOLE, None, 10, api_name="/editgan_embed")
    assert client.predict([], NO_STROKES, api_name="/editgan_apply")
    client.close()
    demo.close()


def test_sliders_go_on_from_the_stored_inversion(client, fake):
    fake.calls.clear()
    asked = [0.5 if name == "age" else 0 for name in EDITS]
    edited, truth, words, *_ = client.predict(False, *asked, api_name="/indomain_manipulate")
    assert fake.calls == [("restore", ("w",)), ("manipulate", {"age": 0.5})]
    assert edited and truth is None and "age +0.5" in words


def test_layers_go_on_from_the_stored_inversions(client, fake):
    fake.calls.clear()
    grid, words = client.predict(7, api_name="/indomain_remix")
    assert Image.open(grid).size[1] > 3 * 180 and "last 7 of 12" in words
    assert [call[0] for call in fake.calls] == ["restore"]
