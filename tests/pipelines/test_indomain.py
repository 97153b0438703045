"""In-domain inversion on tiny real components: what must hold whatever the weights are."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from pipelines.boundary import Boundary, boundaries_from
from pipelines.images import box_mask
from pipelines.indomain import InDomain
from pipelines.indomain_codes import METHODS, Tuning
from pipelines.measures import Fidelity, Measures
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.stylegan2 import Generator

SIZE, LAYERS = 32, 8
BOX = (0.25, 0.25, 0.75, 0.75)


def build(offload: bool = False) -> InDomain:
    torch.manual_seed(0)
    channels = {4: 16, 8: 16, 16: 8, 32: 8}
    generator = Generator(SIZE, mapping_layers=2, channels=channels)
    encoders = [LayerwiseEncoder(LAYERS, SIZE, width=8, level_size=16) for _ in range(2)]
    normal = torch.nn.functional.normalize(torch.randn(512), dim=0)
    layers = torch.tensor([1.0] * 4 + [0.0] * 4)
    boundaries = {"age": Boundary(normal, layers, 0.05, 0.9, -1.0, 1.0)}
    judge = PortraitJudge({"glasses": 2}, ("age",), channels=(4, 8, 8), embedding=16, verifies=True)
    calibration = torch.linspace(0.1, 0.2, 101)
    return InDomain(
        generator, *encoders, PerceptualDistance(), judge, boundaries, calibration, "cpu", offload
    )


@pytest.fixture(scope="module")
def pipeline() -> InDomain:
    return build()


def portrait(seed: int = 0) -> Image.Image:
    """A smooth random picture."""
    noise = np.random.RandomState(seed).randint(0, 255, (4, 4, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize((48, 48), Image.Resampling.BICUBIC)


def difference(a: Image.Image, b: Image.Image) -> int:
    """The largest difference of a byte."""
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


@pytest.fixture(scope="module")
def inverted(pipeline: InDomain) -> list:
    return [pipeline.invert(portrait(seed), steps=6) for seed in (0, 1)]


@pytest.mark.parametrize("method", METHODS[2:])
def test_the_loss_falls(pipeline: InDomain, method: str) -> None:
    losses = pipeline.invert(portrait(), method=method, steps=12).losses
    assert len(losses) == 12
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("method", METHODS[:2])
def test_encoders_take_one_pass(pipeline: InDomain, method: str) -> None:
    inversion = pipeline.invert(portrait(), method=method)
    encoder = pipeline.conventional if method == "conventional" else pipeline.encoder
    assert inversion.losses == ()
    assert torch.equal(inversion.w, encoder(pipeline._load(portrait())))


def test_starting_points(pipeline: InDomain) -> None:
    """In-domain starts at E(x), Image2StyleGAN at the mean: Adam's first step moves by 0.01."""
    x = pipeline._load(portrait())
    w, _ = pipeline.project(x, method="in-domain", steps=1)
    assert (w - pipeline.encoder(x)).abs().max() <= 0.0101
    w, _ = pipeline.project(x, method="image2stylegan", steps=1)
    assert (w - pipeline.encoder.w_mean).abs().max() <= 0.0101


def test_the_rate_is_the_domains_unless_one_is_given(pipeline: InDomain, monkeypatch) -> None:
    x = pipeline._load(portrait())
    monkeypatch.setattr(pipeline, "tuning", Tuning(rate=0.3, anneal=True))
    for given, expected in ((None, 0.3), (0.05, 0.05)):
        w, _ = pipeline.project(x, steps=1, learning_rate=given)
        moved = (w - pipeline.encoder(x)).abs().max().item()
        assert moved == pytest.approx(expected, rel=0.02)


def test_the_encoder_term_keeps_codes_in_the_domain(pipeline: InDomain, monkeypatch) -> None:
    x = pipeline._load(portrait())

    def distance() -> float:
        w, _ = pipeline.project(x, steps=15, learning_rate=0.05)
        return (w - pipeline.encoder(pipeline.generator.synthesis(w))).square().mean().item()

    kept = distance()
    monkeypatch.setattr(pipeline, "tuning", Tuning(domain=0.0))
    assert kept < distance()


def test_pictures_of_a_batch_are_independent(pipeline: InDomain) -> None:
    """To the last bit: a batch of another size is added up in another order."""
    found = []
    for beside in (0, 2):
        x = torch.cat([pipeline._load(portrait(seed)) for seed in (beside, 1)])
        found.append(pipeline.project(x, steps=3)[0])
    assert torch.equal(found[0][1], found[1][1]) and not torch.equal(found[0][0], found[1][0])


def test_same_input_same_result(pipeline: InDomain, inverted: list) -> None:
    again = pipeline.invert(portrait(0), steps=6)
    assert torch.equal(again.w, inverted[0].w)
    assert difference(again.image, inverted[0].image) == 0


def test_results_are_detached_and_copied(pipeline: InDomain, inverted: list) -> None:
    result = pipeline.diffuse(portrait(0), [portrait(1)], BOX, steps=2)
    for inversion in (*inverted, *result.inversions):
        assert not inversion.w.requires_grad and inversion.w.is_leaf
        assert inversion.w.device.type == "cpu"
        assert inversion.w.shape == (1, LAYERS, 512)
    assert torch.equal(copy.deepcopy(inverted[0]).w, inverted[0].w)
    assert len(copy.deepcopy(result).images) == 1


def test_kept_inversions_are_restored_without_a_network(pipeline, inverted, tmp_path) -> None:
    path = pipeline.keep(tmp_path / "codes.safetensors", {"a": inverted[0], "b": inverted[1]})
    others = {name: {k: v for k, v in vars(kept).items() if k != "w"}
              for name, kept in zip("ab", inverted, strict=True)}  # fmt: skip
    again = pipeline.restore(path, others)
    assert torch.equal(again["b"].w, inverted[1].w) and again["b"].image is inverted[1].image
    mixed = pipeline.mix(again["a"], again["b"], layers=3)
    assert difference(mixed, pipeline.mix(*inverted, layers=3)) == 0
    other = copy.copy(pipeline)
    other.fingerprint = "0" * 64
    with pytest.raises(ValueError, match="other weights than those that are loaded"):
        other.restore(path, others)


def test_stop_returns_the_result_so_far(pipeline: InDomain) -> None:
    steps = []

    def on_step(step) -> bool:
        steps.append(step)
        return step.index == 3

    result = pipeline.invert(portrait(), steps=50, image_every=2, on_step=on_step)
    assert len(result.losses) == 3
    assert [bool(step.images) for step in steps] == [False, True, False]
    assert [step.index for step in steps] == [1, 2, 3] and steps[0].total == 50


def test_no_change_gives_the_reconstruction(pipeline: InDomain, inverted: list) -> None:
    assert difference(pipeline.manipulate(inverted[0], {}), inverted[0].image) == 0
    assert difference(pipeline.manipulate(inverted[0], {"age": 0.0}), inverted[0].image) == 0


def test_changes_move_along_the_normal(pipeline: InDomain, inverted: list) -> None:
    boundary = pipeline.boundaries["age"]
    move = boundary.move(0.5)
    assert torch.allclose(move[0], 10 * boundary.normal) and not move[4:].any()
    assert difference(pipeline.manipulate(inverted[0], {"age": 1.0}), inverted[0].image) > 0


@pytest.mark.parametrize("changes", [{"hat": 0.5}, {"age": math.nan}, {"age": 1.5}])
def test_impossible_changes(pipeline: InDomain, inverted: list, changes: dict) -> None:
    with pytest.raises(ValueError, match=r"must (be one of|lie in).*got"):
        pipeline.manipulate(inverted[0], changes)


def test_interpolation_ends_at_both(pipeline: InDomain, inverted: list) -> None:
    a, b = inverted
    pictures = pipeline.interpolate(a, b, count=5)
    assert len(pictures) == 5
    assert difference(pictures[0], a.image) <= 1 and difference(pictures[-1], b.image) <= 1
    with pytest.raises(ValueError, match="count"):
        pipeline.interpolate(a, b, count=1)


def test_mixing_takes_the_last_layers(pipeline: InDomain, inverted: list) -> None:
    content, style = inverted
    assert difference(pipeline.mix(content, style, 0), content.image) == 0
    assert difference(pipeline.mix(content, style, LAYERS), style.image) == 0
    assert difference(pipeline.mix(content, style), content.image) > 0
    with pytest.raises(ValueError, match="layers"):
        pipeline.mix(content, style, LAYERS + 1)


def test_diffusion_ignores_the_context_in_its_losses(pipeline: InDomain) -> None:
    x = torch.cat([pipeline._load(portrait(seed)) for seed in (0, 1)])
    mask = box_mask(BOX, SIZE)
    x[1] = torch.where(mask[0] > 0, x[0], x[1])  # the same box in other surroundings
    optimise, free = pipeline._optimise, Tuning(domain=0.0)
    start = pipeline.encoder(x[:1])
    codes = [optimise(start, picture[None], mask, free, 4, 0.01, None)[0] for picture in x]
    assert torch.equal(*codes)
    moved = optimise(start, x[1:].roll(3, dims=3), mask, free, 4, 0.01, None)[0]
    assert not torch.equal(moved, codes[0])


def test_diffusion_keeps_the_published_rate(pipeline: InDomain, monkeypatch) -> None:
    x, mask = pipeline._load(portrait(0)), box_mask(BOX, SIZE)
    published, _ = pipeline.project(x, mask=mask, steps=4, learning_rate=0.01)
    monkeypatch.setattr(pipeline, "tuning", Tuning(rate=0.3, domain=5.0, anneal=True))
    assert torch.equal(pipeline.project(x, mask=mask, steps=4)[0], published)


def test_diffusion_starts_from_the_stitched_picture(pipeline: InDomain) -> None:
    target, contexts = portrait(0), [portrait(1), portrait(2)]
    result = pipeline.diffuse(target, contexts, BOX, steps=10, image_every=5)
    size = (SIZE, SIZE)
    stitched = np.asarray(result.stitched[1])
    resized = [np.asarray(p.resize(size, Image.Resampling.LANCZOS)) for p in (target, contexts[1])]
    assert np.abs(stitched[8:24, 8:24].astype(int) - resized[0][8:24, 8:24]).max() <= 1
    assert np.abs(stitched[:8].astype(int) - resized[1][:8]).max() <= 1
    assert len(result.images) == len(result.encoded) == len(result.inversions) == 2
    assert [len(way) for way in result.intermediate] == [5, 5]
    assert result.losses[-1] < result.losses[0]


def test_image2stylegan_rebuilds_the_seam_as_well(pipeline: InDomain) -> None:
    stitched = pipeline.diffuse(portrait(0), [portrait(1)], BOX, steps=1).stitched[0]
    whole = pipeline.invert(stitched, method="image2stylegan", steps=4)
    diffused = pipeline.diffuse(portrait(0), [portrait(1)], BOX, method="image2stylegan", steps=4)
    assert torch.allclose(diffused.inversions[0].w, whole.w, atol=2e-3)


@pytest.mark.parametrize("method", METHODS[2:])
def test_diffusion_shows_what_the_encoder_makes_of_the_stitched_picture(pipeline, method) -> None:
    result = pipeline.diffuse(portrait(0), [portrait(1)], BOX, method=method, steps=2)
    alone = pipeline.invert(result.stitched[0], method="domain-guided").image
    assert difference(result.encoded[0], alone) <= 1


def test_diffusion_in_fewer_steps_than_pictures(pipeline: InDomain) -> None:
    result = pipeline.diffuse(portrait(0), [portrait(1)], BOX, steps=2)
    assert [len(way) for way in result.intermediate] == [2]


@pytest.mark.parametrize(
    "box",
    [(-0.1, 0.0, 0.5, 0.5), (0.0, 0.0, 0.5, 1.2), (0.5, 0.0, 0.5, 1.0), (0.7, 0.0, 0.2, 1.0),
     (math.nan, 0.0, 1.0, 1.0), (0.5, 0.5, 0.501, 0.501)],
)  # fmt: skip
def test_impossible_boxes(pipeline: InDomain, box: tuple) -> None:
    with pytest.raises(ValueError, match="box must"):
        pipeline.diffuse(portrait(0), [portrait(1)], box, steps=1)


def test_other_errors(pipeline: InDomain) -> None:
    with pytest.raises(ValueError, match="contexts"):
        pipeline.diffuse(portrait(0), [], BOX)
    with pytest.raises(ValueError, match="method"):
        pipeline.diffuse(portrait(0), [portrait(1)], BOX, method="conventional")
    with pytest.raises(ValueError, match="method"):
        pipeline.invert(portrait(), method="guess")
    for steps in (0, 1001):
        with pytest.raises(ValueError, match="steps"):
            pipeline.invert(portrait(), steps=steps)


def test_measures(pipeline: InDomain) -> None:
    same = pipeline.measure(portrait(0), portrait(0))
    assert same.psnr == math.inf and same.lpips == pytest.approx(0, abs=1e-9)
    assert same.identity == pytest.approx(1, abs=1e-5)
    other = pipeline.measure(portrait(0), portrait(1))
    assert other.psnr < 30 and other.lpips > 0 and other.identity < 1
    black, white = (Image.new("RGB", (64, 64), colour) for colour in ("black", "white"))
    assert pipeline.measure(black, white).psnr == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(("blur", "words"), [(0.0, "faithful"), (0.02, "close"), (0.04, "loose")])
def test_fidelity_in_words(pipeline: InDomain, inverted: list, blur: float, words: str) -> None:
    x = portrait(0).resize((SIZE, SIZE))
    blurred = x.filter(ImageFilter.GaussianBlur(blur * x.width))
    fidelity = pipeline.fidelity(x, replace(inverted[0], image=blurred, measures=None))
    assert fidelity.words == words
    assert fidelity.blur == pytest.approx(blur, abs=0.001)


def test_inside_is_what_the_encoder_rebuilds_as_validation_pictures(
    pipeline: InDomain, monkeypatch
) -> None:
    x = portrait(0)
    encoded = pipeline.invert(x, method="domain-guided")
    distance = encoded.measures.lpips
    for calibration, inside in ((1.05, True), (0.95, False)):
        monkeypatch.setattr(pipeline, "calibration", torch.full((3,), distance * calibration))
        assert pipeline.inside([x, x]) == [inside] * 2
        # Optimisation brings a picture nearer, and not the picture into the domain.
        for method in METHODS:
            inversion = pipeline.invert(x, method=method, steps=3)
            assert inversion.measures.inside is inside
            assert pipeline.fidelity(x, inversion).inside is inside


def test_an_inversion_comes_with_its_measures(pipeline: InDomain, inverted: list) -> None:
    later = pipeline.measure(portrait(0), inverted[0].image)  # of the picture in bytes
    assert inverted[0].measures.psnr == pytest.approx(later.psnr, abs=0.05)
    assert inverted[0].measures.lpips == pytest.approx(later.lpips, rel=0.02)
    assert inverted[0].measures.identity == pytest.approx(later.identity, abs=0.01)


def test_measured_inversions_run_no_network(pipeline, inverted, monkeypatch) -> None:
    monkeypatch.setattr(pipeline, "compare", None)
    known = replace(inverted[0], measures=Measures(math.inf, 0.0, None, inside=True))
    assert pipeline.fidelity(portrait(0), known) == Fidelity(0.0, "faithful", True)


def test_a_box_is_measured_as_the_picture_that_it_holds(pipeline: InDomain) -> None:
    a, b = (portrait(seed).resize((SIZE, SIZE)) for seed in (0, 1))
    left = [p.crop((0, 0, SIZE // 2, SIZE)).resize((SIZE, SIZE)) for p in (a, b)]
    found = pipeline.measure_within(a, b, (0, 0, 0.5, 1))
    expected = pipeline.measure(*left), pipeline.measure(a, b)
    for measures, alone in zip(found, expected, strict=True):
        assert measures.psnr == pytest.approx(alone.psnr, rel=1e-5)
        assert measures.lpips == pytest.approx(alone.lpips, rel=1e-4)


def test_offload_gives_the_same_result(inverted: list) -> None:
    pytest.importorskip("accelerate")
    away = build(offload=True)
    inversion = away.invert(portrait(0), steps=6)
    assert torch.equal(inversion.w, inverted[0].w)
    assert {p.device.type for p in away.generator.synthesis.parameters()} == {"cpu"}


def test_boundaries_are_read_by_name() -> None:
    tensors = {f"yaw.{key}": torch.tensor(float(i)) for i, key in enumerate(
        ("slope", "accuracy", "low", "high"), start=1)}  # fmt: skip
    tensors |= {"yaw.normal": torch.full((512,), 2.0), "yaw.layers": torch.ones(LAYERS)}
    (boundary,) = boundaries_from(tensors).values()
    assert boundary.normal.norm() == pytest.approx(1)
    assert (boundary.slope, boundary.accuracy, boundary.low, boundary.high) == (1, 2, 3, 4)
