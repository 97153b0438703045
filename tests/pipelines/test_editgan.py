"""EditGAN on tiny real components: what must hold whatever the weights are."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from pipelines.editgan import EditGAN, Embedding
from pipelines.editing_vector import EditingVector, as_tensors, from_tensors
from pipelines.images import as_images
from pipelines.latents import save_codes
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.segmentation import SegmentationBranch
from pipelines.networks.stylegan2 import Generator
from pipelines.regions import BUFFER, PartMasks, buffer_of
from tests.pipelines.test_indomain import difference, portrait

SIZE, LAYERS = 32, 8
CHANNELS = {4: 16, 8: 16, 16: 8, 32: 8}
NAMES = ("background", "skin", "hair", "upper lip", "lower lip")
COLOURS = tuple((40 * i, 10 * i, 0) for i in range(len(NAMES)))


def build(offload: bool = False, verifies: bool = True, library: dict | None = None) -> EditGAN:
    torch.manual_seed(0)
    generator = Generator(SIZE, mapping_layers=2, channels=CHANNELS)
    encoder = LayerwiseEncoder(LAYERS, SIZE, width=8, level_size=16)
    branch = SegmentationBranch(CHANNELS, NAMES, COLOURS, members=2, widths=(16, 8))
    with torch.no_grad():
        branch.layers[-1].weight.mul_(8)  # fresh weights see one part everywhere
    judge = PortraitJudge(
        {"expression": 5}, ("smile",), channels=(4, 8, 8), embedding=16, verifies=verifies
    )
    perceptual = PerceptualDistance()
    return EditGAN(
        generator, encoder, branch, perceptual, judge, library, device="cpu", offload=offload
    )


@pytest.fixture(scope="module")
def pipeline() -> EditGAN:
    return build()


@pytest.fixture(scope="module")
def embedding(pipeline: EditGAN) -> Embedding:
    found = pipeline.embed(portrait(), steps=6)
    assert len(np.unique(found.mask)) > 1
    return found


def painting(embedding: Embedding) -> np.ndarray:
    """The mask with a square of the lower lip."""
    mask = embedding.mask.copy()
    mask[12:18, 10:20] = NAMES.index("lower lip")
    return mask


def vector_of(pipeline: EditGAN, seed: int = 0, size: float = 0.5, **changes) -> EditingVector:
    delta = torch.randn(LAYERS, 512, generator=torch.Generator().manual_seed(seed)) * size
    fields = {"name": f"edit {seed}", "delta": delta, "q_edit": ("hair",)}
    fields |= {"domain": pipeline.domain, "generator": pipeline.fingerprint}
    return EditingVector(**(fields | changes))


# ---- embedding -----------------------------------------------------------------------------------


def test_embedding_reduces_its_loss(pipeline: EditGAN) -> None:
    found = pipeline.embed(portrait(), steps=20)
    assert len(found.losses) == 20 and found.losses[-1] < found.losses[0]
    assert found.mask.shape == (SIZE, SIZE) and found.mask.dtype == np.uint8
    assert found.image.size == found.source.size == (SIZE, SIZE)


def test_embedding_begins_with_the_encoder(pipeline: EditGAN) -> None:
    found = pipeline.embed(portrait(), steps=0)
    x = pipeline.project(torch.zeros(1, 3, SIZE, SIZE), steps=0)[0]
    assert x.shape == found.w.shape and found.losses == ()
    source = torch.from_numpy(np.array(found.source)).permute(2, 0, 1)[None] / 127.5 - 1
    assert torch.allclose(found.w, pipeline.encoder(source), atol=1e-5)


def test_results_are_detached(pipeline: EditGAN, embedding: Embedding) -> None:
    edit = pipeline.edit(embedding, painting(embedding), steps=1)
    for result in (embedding, edit, edit.go_on(embedding)):
        copy.deepcopy(result)
        assert not result.w.requires_grad
    assert not edit.vector.delta.requires_grad


def test_a_sample_is_what_its_code_makes(pipeline: EditGAN) -> None:
    a, again, other = (pipeline.sample(seed) for seed in (3, 3, 4))
    assert torch.equal(a.w, again.w) and not torch.equal(a.w, other.w)
    assert torch.equal(a.w, a.w[:, :1].expand_as(a.w)), "one w for all layers"
    x, labels = pipeline.generate(a.w)
    assert np.array_equal(a.mask, labels[0].numpy()) and a.losses == ()
    assert difference(as_images(x)[0], a.image) == difference(a.source, a.image) == 0
    assert a.measures.psnr == math.inf
    edit = pipeline.edit(a, painting(a), steps=2)
    assert torch.equal(edit.w, a.w + edit.vector.delta)


@pytest.mark.parametrize("seed", [-1, 0.5, 2**31, None])
def test_a_sample_has_a_number(pipeline: EditGAN, seed) -> None:
    with pytest.raises(ValueError, match="seed must be a whole number from 0"):
        pipeline.sample(seed)


# ---- editing -------------------------------------------------------------------------------------


def test_an_edit_approaches_the_painted_mask(pipeline: EditGAN, embedding: Embedding) -> None:
    mask = painting(embedding)
    edit = pipeline.edit(embedding, mask, steps=60, buffer=BUFFER)
    assert edit.losses[-1] < 0.95 * edit.losses[0]
    inside, labels = torch.from_numpy(edit.region), torch.from_numpy(mask).long()

    def entropy(w: torch.Tensor) -> float:
        logits = pipeline.branch(pipeline.features(w)[1])[0].movedim(0, 2)
        return torch.nn.functional.cross_entropy(logits[inside], labels[inside]).item()

    assert entropy(edit.w) < 0.9 * entropy(embedding.w)
    assert torch.equal(edit.w, embedding.w + edit.vector.delta)
    assert edit.vector.q_edit == pipeline.changed_parts(embedding.mask, mask)


def test_the_picture_outside_the_region_is_held(pipeline, embedding, monkeypatch) -> None:
    def change() -> float:
        edit = pipeline.edit(embedding, painting(embedding), steps=30)
        moved = np.abs(np.asarray(edit.image, float) - np.asarray(embedding.image, float))
        return moved[~edit.region].mean()

    held = change()
    monkeypatch.setattr("pipelines.semantic_editor.LAMBDA_RGB", 0.0)
    assert held < change()


def test_identity_counts_only_where_the_judge_knows_people(embedding: Embedding) -> None:
    mask, deltas = painting(embedding), {}
    for verifies in (True, False):
        for identity in (True, False):
            edit = build(verifies=verifies).edit(embedding, mask, steps=3, identity=identity)
            deltas[verifies, identity] = edit.vector.delta
    assert torch.equal(deltas[False, True], deltas[False, False])
    assert torch.equal(deltas[True, False], deltas[False, False])
    assert not torch.equal(deltas[True, True], deltas[True, False])


def test_same_input_same_edit(pipeline: EditGAN, embedding: Embedding) -> None:
    a, b = (pipeline.edit(embedding, painting(embedding), steps=4) for _ in range(2))
    assert torch.equal(a.w, b.w) and difference(a.image, b.image) == 0


def test_pictures_of_a_batch_are_independent(pipeline: EditGAN, embedding: Embedding) -> None:
    """To the last bit: a batch of another size is added up in another order."""
    masks = np.stack([painting(embedding), embedding.mask])
    regions = np.zeros((2, SIZE, SIZE), bool)
    regions[0, 10:20, 8:22] = regions[1, 2:30, 4:12] = True
    start, found = torch.zeros(LAYERS, 512), []
    for beside in (0.0, -0.4):
        w = torch.cat([embedding.w + beside, embedding.w + 0.3])
        found.append(pipeline.optimise(w, masks, regions, start=start, steps=3)[0])
    assert torch.equal(found[0][1], found[1][1]) and not torch.equal(found[0][0], found[1][0])


def test_steps_are_told_and_can_stop(pipeline: EditGAN, embedding: Embedding) -> None:
    seen = []

    def on_step(step) -> bool:
        seen.append(step)
        return step.index == 3

    edit = pipeline.edit(embedding, painting(embedding), steps=9, image_every=2, on_step=on_step)
    assert [s.index for s in seen] == [1, 2, 3] and len(edit.losses) == 3
    assert {s.total for s in seen} == {9} and {s.stage for s in seen} == {"edit"}
    assert [s.images is not None for s in seen] == [False, True, False]


# ---- vectors -------------------------------------------------------------------------------------


def test_a_vector_does_what_was_learnt(pipeline: EditGAN, embedding: Embedding) -> None:
    edit = pipeline.edit(embedding, painting(embedding), steps=5)
    again = pipeline.apply(embedding, [(edit.vector, 1.0)])
    assert difference(again.image, edit.image) <= 1
    nothing = pipeline.apply(embedding, [(edit.vector, 0.0)])
    assert difference(nothing.image, embedding.image) == 0
    assert np.array_equal(nothing.mask, embedding.mask)


def test_a_picture_is_handed_out_before_its_mask(pipeline, embedding) -> None:
    happened = []
    watch = pipeline.branch.register_forward_pre_hook(lambda *_: happened.append("mask"))
    edit = pipeline.apply(embedding, [(vector_of(pipeline), 1.0)], on_step=happened.append)
    watch.remove()
    step, *rest = happened
    assert rest and set(rest) == {"mask"}
    assert step.loss is None and difference(step.images[0], edit.image) == 0


def test_vectors_add_up(pipeline: EditGAN, embedding: Embedding) -> None:
    a, b = (vector_of(pipeline, seed) for seed in (0, 1))
    b = replace(b, q_edit=("skin", "hair"))
    both = pipeline.apply(embedding, [(a, 0.5), (b, -1.5)])
    assert torch.allclose(both.vector.delta, 0.5 * a.delta - 1.5 * b.delta, atol=1e-5)
    assert both.vector.q_edit == ("hair", "skin")
    region = pipeline.region(embedding.mask, both.mask, ("hair", "skin"))
    assert np.array_equal(both.region, region)


def test_an_edit_goes_on_from_another(pipeline: EditGAN, embedding: Embedding) -> None:
    first = pipeline.apply(embedding, [(vector_of(pipeline), 1.0)])
    base = first.go_on(embedding)
    assert base.mask is first.mask and base.source is embedding.source
    second = pipeline.edit(base, painting(base), steps=2)
    total = [(first.vector, 1.0), (second.vector, 1.0)]
    assert difference(pipeline.apply(embedding, total).image, second.image) <= 1


def test_refinement_repairs_what_is_outside(pipeline: EditGAN, embedding: Embedding) -> None:
    vector = vector_of(pipeline, q_edit=(NAMES[embedding.mask.max()],))
    applied = pipeline.apply(embedding, [(vector, 1.0)])
    refined = pipeline.refine(embedding, [(vector, 1.0)], steps=25)
    assert refined.region.any() and refined.vector.q_edit == vector.q_edit
    kept = ~refined.region

    def change(edit) -> float:
        moved = np.asarray(edit.image, float) - np.asarray(embedding.image, float)
        return np.square(moved[kept]).mean()

    assert change(refined) < change(applied)
    still = pipeline.refine(embedding, [(vector, 1.0)], steps=0)
    assert difference(still.image, applied.image) <= 1


def test_refinement_of_a_part_that_is_not_there_goes_back(pipeline, embedding) -> None:
    """r is empty: all of the picture is to stay, Eq. 3 has no pixel."""
    absent = replace(embedding, mask=np.ones_like(embedding.mask))
    vector = vector_of(pipeline, q_edit=("upper lip",), size=0.01)
    if (pipeline.apply(embedding, [(vector, 1.0)]).mask == NAMES.index("upper lip")).any():
        vector = replace(vector, q_edit=("lower lip",))
    refined = pipeline.refine(absent, [(vector, 1.0)], steps=3)
    assert not refined.region.any() and np.isfinite(refined.losses).all()


def test_optimisation_can_start_from_vectors(pipeline: EditGAN, embedding: Embedding) -> None:
    vector = vector_of(pipeline)
    edit = pipeline.edit(embedding, painting(embedding), steps=0, start=[(vector, 1.0)])
    assert torch.allclose(edit.vector.delta, vector.delta, atol=1e-5)


def test_offload_gives_the_same_result(embedding: Embedding) -> None:
    pytest.importorskip("accelerate")
    away = build(offload=True)
    assert torch.equal(away.embed(portrait(), steps=6).w, embedding.w)
    assert {p.device.type for p in away.branch.parameters()} == {"cpu"}


# ---- masks ---------------------------------------------------------------------------------------


def test_the_region_is_equation_1_with_a_buffer() -> None:
    masks = PartMasks(NAMES, SIZE)
    before, after = np.ones((2, SIZE, SIZE), np.uint8)
    before[4, 4], after[20, 30] = 3, 4
    assert masks.region(before, after, ("upper lip",), 0).sum() == 1
    both = masks.region(before, after, ("upper lip", "lower lip"), 2)
    expected = np.zeros((SIZE, SIZE), bool)
    expected[2:7, 2:7] = expected[18:23, 28:32] = True
    assert np.array_equal(both, expected)
    assert not masks.region(before, after, ("hair",), 5).any()


def test_the_buffer_goes_with_the_picture(pipeline: EditGAN, embedding: Embedding) -> None:
    assert [buffer_of(size) for size in (1024, 512, 256, 128, 32)] == [5, 5, 2, 1, 1]
    mask = painting(embedding)
    parts = pipeline.changed_parts(embedding.mask, mask)
    regions = {b: pipeline.region(embedding.mask, mask, parts, b) for b in (None, 1, 3)}
    assert np.array_equal(regions[None], regions[1])
    assert regions[1].sum() < regions[3].sum()
    for buffer, region in regions.items():
        assert np.array_equal(pipeline.edit(embedding, mask, steps=0, buffer=buffer).region, region)
    with pytest.raises(ValueError, match="buffer must be 0 to 32 pixels; got -1. Use 1."):
        pipeline.edit(embedding, mask, steps=0, buffer=-1)


def test_the_smaller_of_two_parts_is_inferred() -> None:
    masks = PartMasks(NAMES, SIZE)
    before = np.ones((SIZE, SIZE), np.uint8)
    before[:8] = 2
    after = before.copy()
    assert masks.changed(before, after) == ()
    after[20:22, 10:20] = 3  # a lip on skin
    assert masks.changed(before, after) == ("upper lip",)
    after[7] = 1  # skin where hair was
    assert masks.changed(before, after) == ("hair", "upper lip")


def bad(**changes) -> np.ndarray:
    mask = np.ones((SIZE, SIZE), np.uint8)
    mask[0, 0] = changes.get("label", 1)
    return mask.astype(changes.get("dtype", np.uint8))


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.ones((SIZE, SIZE - 1), np.uint8), "mask must be 32 x 32"),
        (np.ones((SIZE, SIZE, 3), np.uint8), "mask must be 32 x 32"),
        (bad(label=5), "labels 0 to 4; got 1 to 5"),
        (bad(dtype=np.float32), "whole numbers; got float32"),
        (bad(dtype=np.int64) - 2, "labels 0 to 4; got -1"),
        (np.zeros((SIZE, SIZE), np.uint8), "must show a part; got background alone"),
    ],
)
def test_masks_that_cannot_be_used(pipeline, embedding, mask: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pipeline.edit(embedding, mask, steps=1)


def test_edits_that_ask_for_nothing(pipeline: EditGAN, embedding: Embedding) -> None:
    with pytest.raises(ValueError, match="mask must differ.*no change"):
        pipeline.edit(embedding, embedding.mask)
    mask = embedding.mask.copy()
    mask[0, 0] = 1 if mask[0, 0] != 1 else 2
    other = next(
        n for n in reversed(NAMES) if NAMES.index(n) not in (mask[0, 0], embedding.mask[0, 0])
    )
    with pytest.raises(ValueError, match="q_edit must name parts among"):
        pipeline.edit(embedding, mask, q_edit=("nose",))
    with pytest.raises(ValueError, match="q_edit must name parts among.*none"):
        pipeline.edit(embedding, mask, q_edit=())
    corner = np.ones((SIZE, SIZE), np.uint8)
    corner[0, 0] = NAMES.index(other)
    plain = replace(embedding, mask=np.ones((SIZE, SIZE), np.uint8))
    with pytest.raises(ValueError, match="painted or painted over"):
        unpainted = next(n for n in NAMES[2:] if n != other)
        pipeline.edit(plain, corner, q_edit=(unpainted,))
    with pytest.raises(ValueError, match="steps"):
        pipeline.edit(embedding, painting(embedding), steps=1001)
    with pytest.raises(ValueError, match="image_every"):
        pipeline.embed(portrait(), image_every=0)


# ---- files ---------------------------------------------------------------------------------------


def test_a_saved_vector_comes_back(pipeline: EditGAN, embedding: Embedding, tmp_path) -> None:
    edit = pipeline.edit(embedding, painting(embedding), steps=2)
    vector = replace(edit.vector, name="lip, no: lip", seed=3, success={"success": 0.75})
    with pytest.raises(ValueError, match="name must be"):
        vector.save(tmp_path / "lip.safetensors")
    vector = replace(vector, name="lip 2")
    again = pipeline.read_vector(vector.save(tmp_path / "lip.safetensors"))
    assert torch.equal(again.delta, vector.delta) and again.q_edit == vector.q_edit
    assert (again.name, again.seed, again.success) == ("lip 2", 3, {"success": 0.75})
    assert difference(again.thumbnail, vector.thumbnail) == 0
    with pytest.raises(ValueError, match="must end in .safetensors"):
        vector.save(tmp_path / "lip.npy")


def test_a_library_is_many_vectors(pipeline: EditGAN) -> None:
    vectors = [vector_of(pipeline, seed) for seed in (2, 1)]
    library = from_tensors(*as_tensors(vectors))
    assert list(library) == ["edit 2", "edit 1"]
    assert build(library=library).library.keys() == library.keys()
    with pytest.raises(ValueError, match="for domain clay-heads; got cars"):
        build(library={"a": vector_of(pipeline, domain="cars")})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"domain": "clay-cars"}, "domain clay-heads; got clay-cars"),
        ({"generator": "0" * 64}, "generator .*; got 000000000000"),
        ({"delta": torch.zeros(LAYERS + 1, 512)}, r"\(8, 512\); got \(9, 512\)"),
        ({"delta": torch.full((LAYERS, 512), math.nan)}, "finite"),
        ({"q_edit": ("wheel",)}, "q_edit must name parts among"),
    ],
)
def test_foreign_vectors(pipeline, embedding, tmp_path, changes: dict, words: str) -> None:
    vector = vector_of(pipeline, **changes)
    with pytest.raises(ValueError, match=words):
        pipeline.apply(embedding, [(vector, 1.0)])
    file = vector.save(tmp_path / "vector.safetensors")
    with pytest.raises(ValueError, match=words):
        pipeline.read_vector(file)


def test_damaged_files(pipeline: EditGAN, tmp_path) -> None:
    file = vector_of(pipeline).save(tmp_path / "vector.safetensors")
    whole = file.read_bytes()
    for content in (whole[:-100], whole[:50], b"", b"not a vector at all", whole[::-1]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="must be a whole safetensors file"):
            pipeline.read_vector(file)
    save_file({"x": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match="without its description"):
        pipeline.read_vector(file)
    with pytest.raises(ValueError, match="whole safetensors"):
        pipeline.read_vector(tmp_path / "nowhere.safetensors")
    save_file({"x": torch.zeros(3)}, file, {"config": '{"vectors": {"a": {"q_edit": ["skin"]}}}'})
    with pytest.raises(ValueError, match="delta must be"):
        pipeline.read_vector(file)
    for config in ("no JSON", "[" * 100_000, "9" * 5000):
        save_file({"x": torch.zeros(3)}, file, {"config": config})
        with pytest.raises(ValueError, match="must hold its configuration as JSON"):
            pipeline.read_vector(file)


def test_a_kept_edit_is_restored_without_a_network(pipeline, embedding, tmp_path, monkeypatch):
    edit = pipeline.edit(embedding, painting(embedding), steps=2)
    path = pipeline.keep(tmp_path / "codes.safetensors", {"embedding": embedding, "edited": edit})
    fields = [{k: v for k, v in vars(kept).items() if k not in ("w", "vector")}
              for kept in (embedding, edit)]  # fmt: skip
    monkeypatch.setattr(pipeline, "features", lambda w: pytest.fail("a network ran"))
    start, again = pipeline.restore(path, *fields, edit.vector.q_edit)
    assert torch.equal(start.w, embedding.w) and torch.equal(again.w, edit.w)
    assert torch.equal(again.vector.delta, edit.vector.delta)
    assert again.vector.q_edit == edit.vector.q_edit
    assert difference(again.vector.thumbnail, edit.vector.thumbnail) == 0
    monkeypatch.undo()
    anew = pipeline.apply(start, [(again.vector, 1.0)])
    assert difference(anew.image, edit.image) <= 1 and (anew.mask == edit.mask).mean() > 0.99


def test_kept_codes_of_another_generator_are_refused(pipeline, embedding, tmp_path) -> None:
    edit = pipeline.apply(embedding, [(vector_of(pipeline), 1.0)])
    path = pipeline.keep(tmp_path / "codes.safetensors", {"embedding": embedding, "edited": edit})
    other = copy.copy(pipeline)
    other.fingerprint = "0" * 64
    with pytest.raises(ValueError, match="generator 000000000000; got .* other weights"):
        other.restore(path, {}, {}, ("hair",))
    save_codes(path, {"embedding": torch.zeros(1, LAYERS + 1, 512)}, pipeline.fingerprint)
    with pytest.raises(ValueError, match=r"must be \(1, 8, 512\) finite numbers; got \(1, 9"):
        pipeline.restore(path, {}, {}, ("hair",))
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(ValueError, match="whole safetensors file"):
        pipeline.restore(path, {}, {}, ("hair",))


@pytest.mark.parametrize("scale", [math.nan, math.inf, 11])
def test_impossible_scales(pipeline: EditGAN, embedding: Embedding, scale: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        pipeline.apply(embedding, [(vector_of(pipeline), scale)])
    with pytest.raises(ValueError, match="at least one"):
        pipeline.apply(embedding, [])


def test_a_thumbnail_shows_before_and_after(pipeline: EditGAN, embedding: Embedding) -> None:
    edit = pipeline.apply(embedding, [(vector_of(pipeline, size=2.0), 1.0)])
    thumbnail = edit.vector.thumbnail
    assert thumbnail.size == (128, 64)
    halves = [thumbnail.crop((64 * i, 0, 64 * i + 64, 64)) for i in (0, 1)]
    assert difference(halves[0], embedding.image.resize((64, 64))) == 0
    assert difference(halves[1], edit.image.resize((64, 64))) == 0
    assert isinstance(thumbnail, Image.Image)
