"""Stored examples are chosen by a number that says by how much they keep their promise."""

from __future__ import annotations

from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from examples import choosing
from examples.clay.parameters import SEEDS
from examples.diffusion_inversion import results as diffusion
from examples.editgan import results as editgan
from examples.indomain import promises
from examples.mm2latent import results as mm2latent
from examples.sam_inversion import results as sam
from examples.stored import Stored


def plain(*levels: int) -> Image.Image:
    """A picture of one colour."""
    return Image.new("RGB", (8, 8), levels if len(levels) == 3 else levels * 3)


class Measuring:
    """Its distance is the difference of mean levels."""

    def measure(self, a, b) -> SimpleNamespace:
        return SimpleNamespace(lpips=abs(np.asarray(a, float).mean() - np.asarray(b).mean()) / 100)

    def measure_within(self, a, b, box) -> tuple:
        return self.measure(a, b), None


def test_candidates_are_validation_portraits_that_no_other_example_has():
    first, second = (list(islice(choosing.groups(3, place), 8)) for place in (0, 100))
    seeds = [seed for group in (*first, *second) for seed in group]
    assert len(set(seeds)) == 48 and all(seed in SEEDS["validation"] for seed in seeds)
    even = next(choosing.groups(2, 0, lambda seed: seed % 2 == 0))
    assert even == (choosing.POOL.start, choosing.POOL.start + 2)


def test_the_best_candidate_is_stored_with_its_number():
    def compute(seed: int) -> Stored:
        return Stored("one", {"seed": seed}, {})

    def number(_, made: Stored) -> float:
        return {1: 0.1, 2: 0.4, 3: -0.2}[made.values["seed"]]

    found = choosing.best(None, compute, [1, 2, 3], number)
    assert found.values == {"seed": 2, "promise": 0.4}
    assert choosing.best(None, compute, [3], number) is None
    assert choosing.best(None, compute, [1], lambda *_: float("nan")) is None


@pytest.mark.parametrize(("mixture", "nearer"), [(200, 150.0), (50, 0.0), (20, -30.0)])
def test_a_mix_transfers_hair_colour(monkeypatch, mixture, nearer):
    region = np.zeros((8, 8), bool)
    region[:3] = True
    monkeypatch.setattr(promises, "hair", lambda seed: region)
    pictures = {"inverted-content-1": plain(50), "inverted-style-1": plain(200)}
    pictures["mix-1-1"] = plain(mixture)
    made = Stored("mix", {"seeds": {"contents": [1], "styles": [2]}}, pictures)
    assert promises.mixed(None, made) == pytest.approx(nearer * np.sqrt(3) - promises.SEEN)
    worse = pictures | {"inverted-content-2": plain(50), "mix-1-2": plain(40)}
    made = Stored("mix", {"seeds": {"contents": [1, 3], "styles": [2]}}, worse)
    assert promises.mixed(None, made) <= -10 * np.sqrt(3) * (1 - 1e-9) - promises.SEEN


def test_an_edit_beats_doing_nothing():
    pictures = {"truth": plain(100), "inverted": plain(60), "edited": plain(90)}
    assert promises.manipulated(Measuring(), Stored("", {}, pictures)) == pytest.approx(0.3)
    overdone = pictures | {"edited": plain(150)}
    assert promises.manipulated(Measuring(), Stored("", {}, overdone)) == pytest.approx(-0.1)


@pytest.mark.parametrize(("apart", "number"), [(90, 0.5), (10, -0.3)])
def test_two_interpolations_differ_between_their_ends(apart, number):
    upper = {f"in-domain-{k}": plain(100) for k in range(1, 5)}
    lower = {f"image2stylegan-{k}": plain(100) for k in (1, 4)}
    lower |= {f"image2stylegan-{k}": plain(100 + apart) for k in (2, 3)}
    made = Stored("", {}, upper | lower)
    assert promises.interpolated(Measuring(), made) == pytest.approx(number)


def test_a_diffusion_and_an_inversion_are_better_than_their_beginning():
    pictures = {"target-1": plain(100), "encoded-1": plain(40)}
    made = Stored("", {"crop": (0.5, 0.5, 0.4, 0.4), "lpips": 0.2}, pictures)
    assert promises.diffused(Measuring(), made) == pytest.approx(0.4)
    lpips = {"conventional": 0.9, "domain-guided": 0.6, "image2stylegan": 0.3, "in-domain": 0.25}
    numbers = {method: {"lpips": value} for method, value in lpips.items()}
    assert promises.inverted(None, Stored("", {"numbers": numbers}, {})) == pytest.approx(0.35)


def test_a_painted_edit_comes_nearer_to_the_true_answer():
    mask = Image.fromarray(np.full((8, 8), 3, np.uint8), "P")
    region = Image.fromarray(np.ones((8, 8), np.uint8), "P")
    pictures = {"truth": plain(100), "embedding": plain(80), "edited": plain(98)}
    pictures |= {"region": region, "painted": mask, "edited-mask": mask}
    assert editgan.promise(None, Stored("", {}, pictures)) == pytest.approx(20)
    other = pictures | {"edited-mask": Image.fromarray(np.zeros((8, 8), np.uint8), "P")}
    assert editgan.promise(None, Stored("", {}, other)) < 0


class Reading:
    """Its pictures show by their mean level a yaw, an agreement, and what the judge sees."""

    layout = SimpleNamespace(names=("yaw",))

    def read(self, image, kind) -> np.ndarray:
        return np.array([np.asarray(image).mean()])

    def score(self, image, **condition) -> SimpleNamespace:
        level = float(np.asarray(image).mean())
        seen = {"glasses": "round" if level > 100 else "none"}
        return SimpleNamespace(condition=level / 100, attributes=seen)

    def measure(self, a, b) -> SimpleNamespace:
        return Measuring().measure(a, b)


def asked(kind: str, seen: tuple[str, str], agreement: float = 0.9) -> Stored:
    """A request whose result and condition alone are seen so; its words alone agree by half."""
    labels = Image.fromarray(np.ones((8, 8), np.uint8), "P")
    scores = {
        name: {"condition": agreement, "attributes": {"hair_color": colour}}
        for name, colour in zip(("result", f"{kind} alone"), seen, strict=True)
    }
    pictures = {"prompt alone": plain(50), "result": plain(28), "mask": labels, "sketch": labels}
    values = {"kind": kind, "scores": scores, "drawn": {"hair_color": "red"}}
    return Stored("", values | {"numbers": {"yaw": 30.0}}, pictures)


@pytest.mark.parametrize("kind", ["mask", "sketch"])
def test_both_inputs_of_a_request_must_count(kind):
    number = mm2latent.obeyed(Reading(), asked(kind, ("red", "blond")))
    assert number == pytest.approx(1 + 0.4)
    assert mm2latent.obeyed(Reading(), asked(kind, ("red", "red"))) == 0  # words that add nothing
    assert mm2latent.obeyed(Reading(), asked(kind, ("red", "blond"), 0.3)) == pytest.approx(-0.2)


def test_a_turned_head_is_measured_by_its_turn():
    made = asked("morphable", ("red", "blond"), agreement=0.1)
    assert mm2latent.obeyed(Reading(), made) == pytest.approx(1 + (20 - 2) / 30)


@pytest.mark.parametrize(
    ("after", "before", "number"), [("round", 60, 0.3), ("none", 60, -1), ("round", 120, -1)]
)
def test_an_edit_by_words_is_seen_and_was_not_there_before(after, before, number):
    pictures = {"inverted": plain(before), "truth": plain(100), "edited": plain(90)}
    values = {
        "kind": "text", "drawn": {"glasses": "round"}, "measures": {"lpips": 0.1},
        "of_edit": {"scores": {"attributes": {"glasses": after}}},
    }  # fmt: skip
    assert mm2latent.arrived(Reading(), Stored("", values, pictures)) == pytest.approx(number)
    turned = Stored("", values | {"kind": "morphable"}, pictures)
    assert mm2latent.arrived(Reading(), turned) == pytest.approx(abs(before - 100) / 100 - 0.1)


@pytest.mark.parametrize(
    ("rival", "edits", "number"),
    [(0.5, (0.2, 0.6), 0.3 + 0.1 + 0.4), (0.1, (0.2, 0.6), -0.1), (0.5, (0.6, 0.2), -0.4),
     (0.5, (0.4, 0.6), -0.1)],
)  # fmt: skip
def test_a_scene_keeps_all_that_its_page_says(rival, edits, number):
    """Nearer to the picture than W+, edited nearer to the true answer than not, and than W+."""
    verdict = dict(zip(("sam", "hybrid"), ({"lpips": v} for v in edits), strict=True))
    numbers = {"sam": {"lpips": 0.2}, "hybrid": {"lpips": rival}}
    pictures = {"sam": plain(70), "truth": plain(100)}  # 0.3 from it before the edit
    made = Stored("", {"numbers": numbers, "verdict": verdict}, pictures)
    assert sam.promise(Measuring(), made) == pytest.approx(number)


@pytest.mark.parametrize(
    ("seen", "agreement", "number"),
    [((0.8, 0.5), (0.9, 0.4), 0.8), ((0.5, 0.5), (0.9, 0.4), 0), ((0.8, 0.5), (0.3, 0.4), -0.1)],
)
def test_words_and_what_is_painted_must_both_count(seen, agreement, number):
    values = {
        "seen": dict(zip(("ours", "condition alone"), seen, strict=True)),
        "agreement": dict(zip(("ours", "words alone"), agreement, strict=True)),
    }
    assert diffusion.both_count(None, Stored("", values, {})) == pytest.approx(number)


@pytest.mark.parametrize(("edited", "number"), [(90, 10.0), (75, 4.0), (40, 0.0)])
def test_a_style_brings_the_picture_nearer_to_its_true_one(edited, number):
    pictures = {"ours": plain(60), "truth": plain(100), "edited": plain(edited)}
    assert diffusion.near(Measuring(), Stored("", {}, pictures)) == pytest.approx(number)


def test_what_the_command_line_names_is_made(monkeypatch, capsys):
    chosen = {"invert": {}, "edit": {}}
    monkeypatch.setattr("sys.argv", ["examples", "edit"])
    assert choosing.asked("any", chosen) == {"edit": {}}
    monkeypatch.setattr("sys.argv", ["examples"])
    assert choosing.asked("any", chosen) == chosen
    monkeypatch.setattr("sys.argv", ["examples", "mix"])
    with pytest.raises(SystemExit):
        choosing.asked("any", chosen)
    assert "KIND must be one of invert, edit; got mix" in capsys.readouterr().err
