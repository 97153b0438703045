"""SAM inversion on tiny networks: the map of latents, the image formation, inversion, editing."""

from __future__ import annotations

import copy
import functools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.func import functional_call

import weights
from pipelines import baselines
from pipelines.baselines import BASELINES, OPTIMISED
from pipelines.boundary import Boundary
from pipelines.images import as_tensor
from pipelines.invertibility import (
    InvertibilityMaps,
    every_pixel,
    feature_layers,
    latent_map,
    masks_of,
    segments_of,
)
from pipelines.latent_space import LatentSpace, gaussianised
from pipelines.latents import load_codes, save_codes
from pipelines.multilayer_projector import Tuning
from pipelines.networks.encoders import GuidedEncoder, LayerwiseEncoder, OffsetEncoder
from pipelines.networks.invertibility import InvertibilityNet
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.parser import FaceParser
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.sam_encoders import SAMEncoders
from pipelines.networks.stylegan2 import Generator
from pipelines.sam_inversion import SAMInversion
from tests.pipelines.test_indomain import difference, portrait

SIZE, LAYERS = 32, 8
CHANNELS = {4: 16, 8: 16, 16: 8, 32: 8}
LATENTS = ("W+", "F0", "F2", "F4")
BLOCKS = ("b4.conv1", "b8.conv1", "b16.conv1")


def build(offload: bool = False, **given) -> SAMInversion:
    torch.manual_seed(0)
    generator = Generator(SIZE, mapping_layers=2, channels=CHANNELS)
    for block in generator.synthesis.blocks:  # as trained ones have it: noise must stay the same
        torch.nn.init.constant_(block.conv1.noise_strength, 0.1)
    encoder = LayerwiseEncoder(LAYERS, SIZE, width=8, level_size=16)
    net = InvertibilityNet(LATENTS, width=4, depths=(1, 1, 1))
    judge = PortraitJudge({"glasses": 2}, ("age",), channels=(4, 8, 8), embedding=16, verifies=True)
    features = {name: CHANNELS[int(name[1:].split(".")[0])] for name in BLOCKS}
    with torch.random.fork_rng(devices=[]):  # what they draw is nothing to the others
        encoders = SAMEncoders(
            features, LAYERS, 512, SIZE, width=4, level_size=16, channels=(8,) * 3
        )
        for layer in (*(f.out for f in encoders.features.values()), *encoders.codes.heads):
            torch.nn.init.normal_(layer.weight, std=0.1)  # as if trained
    rivals = {
        "e4e": OffsetEncoder(LAYERS, SIZE, width=4, level_size=16),
        "restyle": GuidedEncoder(3, LAYERS, SIZE, width=4, level_size=16),
    }
    normal = torch.nn.functional.normalize(torch.randn(512), dim=0)
    boundaries = {"age": Boundary(normal, torch.ones(LAYERS), 0.05, 0.9, -1.0, 1.0)}
    networks = {
        "invertibility": net, "parser": FaceParser(channels=(8, 8)), "judge": judge,
        "encoders": encoders, "rivals": rivals, "boundaries": boundaries,
    } | given  # fmt: skip
    return SAMInversion(
        generator, encoder, perceptual=PerceptualDistance(), device="cpu", offload=offload,
        **networks,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pipeline() -> SAMInversion:
    return build()


def patchwork() -> np.ndarray:
    """A map with every latent: quarters of the picture."""
    chosen = np.zeros((SIZE, SIZE), np.uint8)
    half = SIZE // 2
    chosen[:half, half:], chosen[half:, :half], chosen[half:, half:] = 1, 2, 3
    return chosen


@pytest.fixture(scope="module")
def inversion(pipeline: SAMInversion):
    return pipeline.invert(portrait(), chosen=patchwork(), steps=8)


def maps_of(*rows: tuple[float, ...]) -> InvertibilityMaps:
    """Maps of four segments, columns of a picture, with these errors of each latent."""
    segments = np.arange(4).repeat(8)[None].repeat(32, 0)
    errors = {name: np.array(row)[segments] for name, row in zip(LATENTS, rows, strict=True)}
    return InvertibilityMaps.refined(errors, segments)


# ---- maps of latents -----------------------------------------------------------------------------


def test_layers_of_every_size() -> None:
    paper = {"F4": "b16.conv1", "F6": "b32.conv1", "F8": "b64.conv1", "F10": "b128.conv1"}
    assert all(feature_layers(size) == paper for size in (256, 512, 1024))
    assert list(feature_layers(128)) == ["F2", "F4", "F6", "F8"]
    assert feature_layers(SIZE) == dict(zip(LATENTS[1:], BLOCKS, strict=True))


def test_errors_are_averaged_over_segments() -> None:
    errors = {"W+": np.arange(4.0).reshape(2, 2), "F4": np.ones((2, 2))}
    maps = InvertibilityMaps.refined(errors, np.array([[5, 5], [5, 9]]))
    assert maps.segments.tolist() == [[0, 0], [0, 1]]
    assert maps.means.tolist() == [[1.0, 3.0], [1.0, 1.0]]
    assert maps.refined_errors[0].tolist() == [[1.0, 1.0], [1.0, 3.0]]
    with pytest.raises(ValueError, match="segments must be"):
        InvertibilityMaps.refined(errors, np.zeros((3, 3), int))


def test_each_segment_takes_the_earliest_latent_that_will_do() -> None:
    maps = maps_of((0.1, 0.5, 0.5, 0.5), (0.1, 0.1, 0.5, 0.5), (0.0, 0.6, 0.1, 0.5), (0.4,) * 4)
    assert latent_map(maps, 0.2)[0, ::8].tolist() == [0, 1, 2, 3]
    assert latent_map(maps, 0.2, {3: "F0"})[0, ::8].tolist() == [0, 1, 2, 1]
    assert (latent_map(maps, 0.0) == 3).all() and (latent_map(maps, math.inf) == 0).all()
    for tau, forced in ((math.nan, None), (-1.0, None), (0.2, {4: "W+"}), (0.2, {0: "F10"})):
        with pytest.raises(ValueError, match=r"must .*got"):
            latent_map(maps, tau, forced)


def test_what_the_parser_names_is_whole_and_the_rest_is_superpixels() -> None:
    x = torch.zeros(3, 32, 32)
    x[:, :, 16:] = 1
    parts = np.zeros((32, 32), int)
    parts[4:20, 4:28] = 3
    alone, joined = segments_of(x), segments_of(x, parts)
    inside = joined[4:20, 4:28]
    assert (inside == inside[0, 0]).all() and (joined == inside[0, 0]).sum() == inside.size
    assert len(np.unique(joined[parts == 0])) > 4
    assert not set(np.unique(alone[:, :15])) & set(np.unique(alone[:, 17:]))


def test_invertibility_of_a_picture(pipeline: SAMInversion) -> None:
    maps = pipeline.invertibility(portrait())
    assert maps.latents == LATENTS and maps.errors.shape == (4, SIZE, SIZE)
    assert (maps.errors >= 0).all()
    single = pipeline.invertibility(portrait(), refine=False)
    assert np.allclose(single.refined_errors, maps.errors, atol=1e-6)
    assert np.array_equal(single.segments, every_pixel(SIZE, SIZE))
    true = np.kron(np.array([[0, 7], [7, 7]]), np.ones((32, 32), int))  # of another size
    given = pipeline.invertibility(portrait(), segments=true)
    assert given.means.shape == (4, 2) and given.segments[:16, :16].max() == 0
    assert given.means[:, 0] == pytest.approx(maps.errors[:, :16, :16].mean((1, 2)), abs=1e-5)


def test_masks_cover_every_place_once() -> None:
    masks = masks_of(torch.from_numpy(patchwork())[None], BLOCKS)
    assert [m.shape[-1] for m in masks.values()] == [4, 8, 16]
    w_plus = 0.25
    shares = sum(mask.mean().item() for mask in masks.values())
    assert shares + w_plus == pytest.approx(1, abs=0.05)
    assert masks_of(torch.zeros(1, 32, 32), BLOCKS) == {}


# ---- the image formation -------------------------------------------------------------------------


def formed(pipeline: SAMInversion, mask: torch.Tensor | None) -> torch.Tensor:
    """A picture with a strong change of F4 under a mask (1, 1, 16, 16)."""
    torch.manual_seed(1)
    w, delta = torch.randn(1, LAYERS, 512), 3 * torch.randn(1, 8, 16, 16)
    if mask is None:
        return pipeline.generator.synthesis(w)
    name = "b16.conv1"
    return pipeline.generator.synthesis(w, deltas={name: delta}, masks={name: mask})


def test_zero_masks_are_the_plain_generator_bit_for_bit(pipeline: SAMInversion) -> None:
    assert torch.equal(formed(pipeline, torch.zeros(1, 1, 16, 16)), formed(pipeline, None))


def test_nothing_changes_outside_the_receptive_field(pipeline: SAMInversion) -> None:
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :4] = 1  # left quarter: 8 px, and 8 more that the last block's layers reach
    gap = (formed(pipeline, mask) - formed(pipeline, None)).abs().amax((0, 1, 2))
    assert gap[:8].min() > 1e-3 and gap[16:].max() < 1e-5


def test_tau_0_and_infinity_are_single_latents(pipeline: SAMInversion) -> None:
    last = pipeline.invert(portrait(), tau=0.0, steps=1)
    assert (last.latent_map == 3).all() and set(last.deltas) == {"b16.conv1"}
    w_plus = pipeline.invert(portrait(), tau=math.inf, steps=1)
    assert not w_plus.latent_map.any() and w_plus.deltas == {}


# ---- inversion -----------------------------------------------------------------------------------


def test_the_loss_falls_and_a_feature_latent_rebuilds_more(pipeline: SAMInversion) -> None:
    found = [
        pipeline.invert(portrait(), chosen=np.full((SIZE, SIZE), index), steps=25)
        for index in (0, 3)
    ]
    assert all(result.losses[-1] < result.losses[0] for result in found)
    assert found[1].measures.psnr > found[0].measures.psnr


def test_w_and_deltas_are_optimised_together(pipeline: SAMInversion, inversion) -> None:
    start = pipeline.encoder(pipeline._load(portrait()))
    assert (inversion.w - start).abs().max() > 0.01
    assert set(inversion.deltas) == set(BLOCKS)
    assert all(delta.abs().max() > 0.01 for delta in inversion.deltas.values())


def test_deltas_stay_zero_where_another_latent_is_chosen(pipeline: SAMInversion, inversion) -> None:
    delta = inversion.deltas["b16.conv1"]
    assert not delta[..., :7].any() and delta[..., 8:, 8:].abs().mean() > 0.01


def test_feature_regularisation_keeps_changes_small(pipeline: SAMInversion) -> None:
    sizes = [
        pipeline.invert(
            portrait(), chosen=patchwork(), steps=20, regularise=regularise
        ).deltas["b8.conv1"].square().mean()
        for regularise in (True, False)
    ]  # fmt: skip
    assert sizes[0] < 0.9 * sizes[1]


def test_same_input_same_result(pipeline: SAMInversion, inversion) -> None:
    again = pipeline.invert(portrait(), chosen=patchwork(), steps=8)
    assert torch.equal(again.w, inversion.w) and difference(again.image, inversion.image) == 0


def test_pictures_of_a_batch_are_independent(pipeline: SAMInversion) -> None:
    """To the last bit: a batch of another size is added up in another order."""
    chosen = torch.from_numpy(np.stack([patchwork(), patchwork()[::-1].copy()]))
    found = []
    for beside in (0, 2):
        x = torch.cat([pipeline._load(portrait(seed)) for seed in (beside, 1)])
        w, deltas, _ = pipeline.project(x, chosen, steps=3)
        found.append((w, deltas["b8.conv1"]))
    for a, b in zip(*found, strict=True):
        assert torch.equal(a[1], b[1]) and not torch.equal(a[0], b[0])


def test_results_are_detached_and_copied(pipeline: SAMInversion, inversion) -> None:
    for result in (inversion, pipeline.encode(portrait()), pipeline.baseline(
        portrait(), method="pti", steps=2
    )):  # fmt: skip
        tensors = [result.w, *result.deltas.values(), *(result.tuned or {}).values()]
        assert all(t.is_leaf and not t.requires_grad for t in tensors)
        assert torch.equal(copy.deepcopy(result).w, result.w)


def test_stop_returns_the_result_so_far(pipeline: SAMInversion) -> None:
    steps = []

    def on_step(step) -> bool:
        steps.append(step)
        return step.index == 3

    result = pipeline.invert(portrait(), steps=50, image_every=2, on_step=on_step)
    assert len(result.losses) == 3
    assert [bool(step.images) for step in steps] == [False, True, False]


def test_the_encoders_take_one_pass(pipeline: SAMInversion) -> None:
    found = pipeline.encode(portrait(), chosen=patchwork())
    assert found.losses == () and set(found.deltas) == set(BLOCKS)
    plain = pipeline.encode(portrait(), tau=math.inf)
    assert plain.deltas == {} and not torch.equal(plain.w, found.w)  # they see the map
    assert all(d.abs().max() > 0 for d in found.deltas.values())


def test_optimisation_starts_where_the_encoders_end(pipeline: SAMInversion) -> None:
    start = pipeline.invert(portrait(), chosen=patchwork(), steps=0)
    assert difference(start.image, pipeline.encode(portrait(), chosen=patchwork()).image) == 0
    without = build(encoders=None).invert(portrait(), chosen=patchwork(), steps=0)
    assert not any(delta.any() for delta in without.deltas.values())
    assert torch.equal(without.w, pipeline.encoder(as_tensor(portrait(), SIZE)))
    assert difference(start.image, without.image) > 0


def test_encoders_see_what_their_start_does_not_rebuild(pipeline: SAMInversion) -> None:
    x = as_tensor(portrait(), SIZE)
    chosen = torch.from_numpy(patchwork())[None]
    w, y = pipeline.started(x)
    by_itself, given = pipeline.encoded(x, chosen), pipeline.encoded(x, chosen, (w, y))
    blind = pipeline.encoded(x, chosen, (w, x))
    for name in BLOCKS:
        assert torch.equal(by_itself[1][name], given[1][name])
        assert not torch.equal(blind[1][name], given[1][name])
    assert torch.equal(by_itself[0], given[0]) and not torch.equal(blind[0], given[0])


def test_untrained_encoders_change_nothing() -> None:
    encoders = SAMEncoders({"b8.conv1": 16}, LAYERS, 512, SIZE, 4, 16, (8, 8)).eval()
    x, y = torch.rand(2, 1, 3, SIZE, SIZE)
    offset, deltas = encoders(x, y, torch.ones(1, 2, SIZE, SIZE))
    assert deltas["b8.conv1"].shape == (1, 16, 8, 8) and not deltas["b8.conv1"].any()
    assert offset.shape == (1, LAYERS, 512) and not offset.any()
    with pytest.raises(ValueError, match="features must lie at"):
        SAMEncoders({"b4.conv1": 16}, LAYERS, 512, SIZE, 4, 16, (8, 8))


# ---- editing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["age", "principal direction 1"])
def test_strength_0_gives_the_reconstruction_back(pipeline, inversion, direction: str) -> None:
    assert difference(pipeline.edit(inversion, direction, 0.0), inversion.image) == 0
    assert difference(pipeline.edit(inversion, direction, 2.0), inversion.image) > 0


def test_segments_see_the_change_after_their_layer(pipeline: SAMInversion) -> None:
    """A change of the layers up to F4's reaches only segments of earlier latents."""
    early = torch.zeros(LAYERS, 512)
    early[:5] = 2 * torch.randn(5, 512, generator=torch.Generator().manual_seed(3))
    for index, seen in ((3, False), (1, True), (0, True)):
        found = pipeline.invert(portrait(), chosen=np.full((SIZE, SIZE), index), steps=2)
        assert (difference(pipeline.edit(found, early, 1.0), found.image) > 0) is seen
    late = torch.zeros(LAYERS, 512)
    late[5:] = early[:3]
    found = pipeline.invert(portrait(), chosen=np.full((SIZE, SIZE), 3), steps=2)
    assert difference(pipeline.edit(found, late, 1.0), found.image) > 0


def test_w_plus_is_edited_as_the_plain_generator_is(pipeline: SAMInversion) -> None:
    found = pipeline.invert(portrait(), tau=math.inf, steps=2)
    move = pipeline.boundaries["age"].move(1.0)
    plain = pipeline.generator.synthesis(found.w + move)
    assert difference(pipeline.edit(found, "age", 1.0), _picture(plain)) == 0


def _picture(x: torch.Tensor) -> Image.Image:
    from pipelines.images import as_images

    return as_images(x)[0]


def test_principal_directions_are_those_of_the_samples() -> None:
    class Stretched(torch.nn.Module):
        z_dim = 3

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return (z * torch.tensor([1.0, 5.0, 2.0]) + 7)[:, None]

    space = LatentSpace.explore(Stretched(), torch.device("cpu"), components=2)
    assert space.directions.norm(dim=1) == pytest.approx(torch.tensor([5.0, 2.0]), rel=0.05)
    assert space.directions.argmax(1).tolist() == [1, 2]
    assert space.mean == pytest.approx(torch.full((3,), 7.0), abs=0.2)
    z = torch.randn(4000, 3, generator=torch.Generator().manual_seed(9))
    w = Stretched()(z)
    assert space.prior(w).mean().item() == pytest.approx(1, abs=0.1)
    assert space.prior(w + 20).mean() > 2
    assert torch.equal(gaussianised(torch.tensor([-1.0, 2.0])), torch.tensor([-5.0, 2.0]))


# ---- baselines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", OPTIMISED)
def test_baselines_descend(pipeline: SAMInversion, method: str) -> None:
    found = pipeline.baseline(portrait(), method=method, steps=15)
    losses = found.losses[:15]
    assert losses[-1] < losses[0] and found.deltas == {} and not found.latent_map.any()
    same_code = torch.equal(found.w, found.w[:, :1].expand_as(found.w))
    assert same_code is (method in ("w", "pti"))


def test_codes_from_the_mean_have_a_rate_of_their_own() -> None:
    pipeline = build(tuning=Tuning(rate=0.0, far=0.05))
    code = pipeline.encoder(as_tensor(portrait(), SIZE))
    assert torch.equal(pipeline.baseline(portrait(), method="hybrid", steps=2).w, code)
    for method in ("w", "w+", "gaussian-prior"):
        moved = pipeline.baseline(portrait(), method=method, steps=2).w - pipeline.space.mean
        assert moved.abs().max() > 0.04


def test_pivotal_tuning_tunes_the_generator_after_w(pipeline: SAMInversion) -> None:
    weight = pipeline.generator.synthesis.b32.conv1.weight.clone()
    pivot = pipeline.baseline(portrait(), method="w", steps=15)
    tuned = pipeline.baseline(portrait(), method="pti", steps=15)
    assert torch.equal(tuned.w, pivot.w) and len(tuned.losses) == 30
    assert tuned.measures.psnr > pivot.measures.psnr
    assert torch.equal(pipeline.generator.synthesis.b32.conv1.weight, weight)
    assert difference(pipeline.edit(tuned, "age", 0.0), tuned.image) == 0
    again = pipeline.baseline(portrait(), method="pti", steps=15, pivot=pivot.w)
    assert difference(again.image, tuned.image) == 0 and again.losses == tuned.losses[15:]
    steps = functools.partial(pipeline.baseline.steps, portrait(), steps=15)
    assert [steps(method="pti", pivot=given) for given in (None, pivot.w)] == [30, 15]


def test_the_tuned_generator_stays_as_it_was_around_the_pivot(
    pipeline: SAMInversion, monkeypatch
) -> None:
    pivot = pipeline.baseline(portrait(), method="w", steps=5).w
    ws = pivot + 0.3 * torch.randn(8, 1, 512, generator=torch.Generator().manual_seed(1))
    changes = []
    for weight in (0.0, 10.0):
        monkeypatch.setattr(baselines, "LAMBDA_LOCALITY", weight)
        tuned = pipeline.baseline(portrait(), method="pti", steps=12, pivot=pivot).tuned
        with torch.no_grad():
            before = pipeline.generator.synthesis(ws)
            after = functional_call(pipeline.generator.synthesis, dict(tuned), (ws,))
        changes.append((after - before).square().mean().item())
    assert changes[1] < 0.8 * changes[0], changes


def test_the_prior_keeps_codes_likely(pipeline: SAMInversion) -> None:
    unlikely = [
        pipeline.space.prior(pipeline.baseline(portrait(), method=method, steps=25).w).item()
        for method in ("w+", "gaussian-prior")
    ]
    assert unlikely[1] < unlikely[0]


def test_encoders_of_the_baselines(pipeline: SAMInversion) -> None:
    x = pipeline._load(portrait())
    e4e, restyle = (pipeline.baseline(portrait(), method=m) for m in ("e4e", "restyle"))
    assert torch.equal(e4e.w, pipeline.rivals["e4e"](x))
    first = pipeline.rivals["e4e"](x, offsets=0)
    assert torch.equal(first, first[:, :1].expand_as(first))
    assert torch.equal(pipeline.rivals["e4e"](x, offsets=3)[:, :4], e4e.w[:, :4])
    w = torch.zeros(1, LAYERS, 512)
    for _ in range(5):
        w = w + pipeline.rivals["restyle"](x, pipeline.generator.synthesis(w))
    assert torch.allclose(restyle.w, w, atol=1e-5)


# ---- what is missing, what is wrong --------------------------------------------------------------


def test_what_is_not_trained_names_its_recipe() -> None:
    bare = build(invertibility=None, encoders=None, rivals=None)
    for call in (
        lambda: bare.invert(portrait(), tau=0.2),
        lambda: bare.encode(portrait(), chosen=patchwork()),
        lambda: bare.baseline(portrait(), method="e4e"),
        lambda: bare.baseline(portrait(), method="restyle"),
    ):
        with pytest.raises(ValueError, match=r"python -m pipelines\.training\.\w+"):
            call()
    assert bare.methods == OPTIMISED and build().methods == BASELINES
    assert bare.invert(portrait(), chosen=patchwork(), steps=1).losses


def test_a_domain_without_its_weights_says_what_it_lacks() -> None:
    with pytest.raises(weights.WeightsError, match="sam_inversion in imagenet lacks imagenet/"):
        SAMInversion.from_pretrained("imagenet", "cpu")
    with pytest.raises(weights.WeightsError, match="expected a domain of sam_inversion"):
        SAMInversion.from_pretrained("nowhere", "cpu")


def test_networks_for_other_latents_are_refused() -> None:
    with pytest.raises(weights.WeightsError, match="F0, F2, F4"):
        build(invertibility=InvertibilityNet(("W+", "F4"), width=4, depths=(1, 1, 1)))
    with pytest.raises(weights.WeightsError, match="sam_encoders"):
        build(encoders=SAMEncoders({"b8.conv1": 16}, LAYERS, 512, SIZE, 4, 16, (8, 8)))


def test_impossible_arguments(pipeline: SAMInversion, inversion) -> None:
    calls = (
        lambda: pipeline.invert(portrait(), chosen=np.full((SIZE, SIZE), 4)),
        lambda: pipeline.invert(portrait(), chosen=np.zeros((SIZE, SIZE))),
        lambda: pipeline.invert(portrait(), chosen=np.zeros((8, 4), int)),
        lambda: pipeline.invertibility(portrait(), segments=np.zeros((8, 4), int)),
        lambda: pipeline.invert(portrait(), tau=0.2, steps=1001),
        lambda: pipeline.baseline(portrait(), method="guess"),
        lambda: pipeline.edit(inversion, "hat", 1.0),
        lambda: pipeline.edit(inversion, "age", math.nan),
        lambda: pipeline.edit(inversion, torch.zeros(3, 512), 1.0),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"must .*got"):
            call()


def test_a_picture_of_any_size_is_measured_at_its_own(pipeline: SAMInversion, inversion) -> None:
    assert inversion.image.size == (SIZE, SIZE)
    known = pipeline.measure(portrait(), inversion.image)
    assert inversion.measures.psnr == pytest.approx(known.psnr, abs=0.05)
    assert replace(inversion, method="x").seconds == inversion.seconds > 0


def test_offload_gives_the_same_result(inversion) -> None:
    pytest.importorskip("accelerate")
    away = build(offload=True)
    found = away.invert(portrait(), chosen=patchwork(), steps=8)
    assert torch.equal(found.w, inversion.w)
    assert difference(away.edit(found, "age", 1.0), build().edit(inversion, "age", 1.0)) == 0


# ---- inversions kept in files --------------------------------------------------------------------


@pytest.fixture
def kept(pipeline: SAMInversion, inversion, tmp_path) -> Path:
    return pipeline.keep(tmp_path / "latent.safetensors", {"sam": inversion})


def test_an_inversion_is_kept_and_edited_another_day(pipeline, inversion, kept) -> None:
    again = pipeline.reopen(kept)
    assert torch.equal(again.w, inversion.w) and set(again.deltas) == set(inversion.deltas)
    assert np.array_equal(again.latent_map, inversion.latent_map)
    assert (again.method, again.measures, again.alone) == ("stored", None, False)
    # Half precision of the feature changes: a level of 255 at most.
    assert difference(again.image, inversion.image) <= 1
    edits = (pipeline.edit(found, "age", 1.0) for found in (again, inversion))
    assert difference(*edits) <= 1


def test_codes_of_other_pages_are_inversions_in_w_plus(pipeline, inversion, tmp_path) -> None:
    w = {"a": inversion.w, "b": inversion.w + 1}
    path = save_codes(tmp_path / "codes.safetensors", w, pipeline.fingerprint)
    found = pipeline.read_codes(path)
    assert set(found) == {"a", "b"}
    assert all(f.alone and not f.latent_map.any() for f in found.values())
    plain = pipeline.generator.synthesis(inversion.w)
    assert difference(found["a"].image, _picture(plain)) == 0
    with pytest.raises(ValueError, match="must hold one code; got a, b"):
        pipeline.reopen(path)
    alone = pipeline.keep(tmp_path / "alone.safetensors", {"a": found["a"]})
    assert set(load_codes(alone, pipeline.fingerprint, (LAYERS, 512))) == {"a"}


def test_a_tuned_generator_is_not_kept(pipeline, tmp_path) -> None:
    tuned = pipeline.baseline(portrait(), method="pti", steps=1)
    assert not tuned.alone
    with pytest.raises(ValueError, match="got one by pti"):
        pipeline.keep(tmp_path / "latent.safetensors", {"pti": tuned})


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("sam", torch.zeros(1, 3, 512), r"must be \(1, 8, 512\) finite numbers"),
        ("sam", torch.full((1, LAYERS, 512), math.nan), "finite numbers"),
        ("sam.b8.conv1", torch.zeros(1, 16, 4, 4), r"must be \(1, 16, 8, 8\)"),
        ("sam.b8.conv1", torch.full((1, 16, 8, 8), math.inf), "finite numbers"),
        ("sam.b8.conv1", None, "feature changes must be of b4.conv1, b8.conv1, b16.conv1"),
        ("sam.b32.conv1", torch.zeros(1, 8, 32, 32), "feature changes must be of"),
        ("sam.latent_map", torch.full((8, 8), 9, dtype=torch.uint8), "must hold 0 to 3"),
        ("sam.latent_map", torch.zeros(0, 0, dtype=torch.uint8), "square of whole numbers"),
        ("sam.latent_map", torch.zeros(8, 8), "square of whole numbers"),
        ("sam", None, "must go with its codes; got none"),
    ],
)
def test_files_that_are_no_inversions_are_said(pipeline, kept, key, value, words) -> None:
    tensors = load_file(kept) | {key: value}
    about = {"config": json.dumps(pipeline.layout.about)}
    save_file({k: v for k, v in tensors.items() if v is not None}, kept, about)
    with pytest.raises(ValueError, match=words):
        pipeline.read_codes(kept)


def test_inversions_of_another_generator_are_refused(pipeline, inversion, kept) -> None:
    for change in ({"generator": "0" * 64}, {"latents": ["W+", "F10"]}, {"latents": 5}):
        about = {"config": json.dumps(pipeline.layout.about | change)}
        save_file(load_file(kept), kept, about)
        with pytest.raises(ValueError, match=r"must be .*got"):
            pipeline.reopen(kept)
