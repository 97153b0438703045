"""MM2Latent's recipes: samples that are kept, a mapping that learns, conditions rebuilt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.clay.dataset import latents
from examples.clay.parameters import draw
from pipelines.condition_codes import ConditionCodes
from pipelines.morphable import CLAY
from pipelines.networks.condition_autoencoder import ConditionAutoencoder
from pipelines.networks.morphable import MorphableNet
from pipelines.networks.parser import FaceParser
from pipelines.networks.stylegan2 import Generator
from pipelines.training import condition_autoencoders as autoencoders
from pipelines.training import mm_mapping as recipe
from pipelines.training import mm_samples as samples
from pipelines.training import morphable
from pipelines.training.loop import Loop
from tests.pipelines.tiny_embedding import TinyEmbedding

SIZE = 32
KINDS = ("mask", "sketch", "morphable")


class Portraits:
    """A set of 12 portraits of noise; what is known of them is the renderer's own."""

    def __init__(self) -> None:
        random = np.random.RandomState(0)
        self.images = random.randint(0, 255, (12, SIZE, SIZE, 3)).astype(np.uint8)
        self.parts = np.tile(np.arange(SIZE) // 2, (12, SIZE, 1)).astype(np.uint8)
        self.seeds = np.arange(12)

    def __len__(self) -> int:
        return len(self.seeds)

    def parameters(self) -> np.ndarray:
        return draw(latents(self.seeds, self.seeds))


@pytest.fixture(scope="module")
def sampler() -> samples.Sampler:
    torch.manual_seed(0)
    generator = Generator(SIZE, mapping_layers=2, channels={4: 16, 8: 16, 16: 8, 32: 8}).eval()
    codes = ConditionCodes(
        FaceParser(channels=(8, 8)).eval(),
        {kind: ConditionAutoencoder(kind, SIZE).eval() for kind in KINDS[:2]},
        MorphableNet(CLAY.names, channels=(4, 8, 8)).eval(),
        CLAY,
        SIZE,
    )
    return samples.Sampler(generator, TinyEmbedding().eval(), codes, torch.device("cpu"))


@pytest.fixture(scope="module")
def drawn(sampler, tmp_path_factory) -> samples.Samples:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "CHUNK", 100)
        return samples.collect(sampler, tmp_path_factory.mktemp("samples"), 400)


def test_samples_are_codes_of_their_pictures(sampler, drawn) -> None:
    assert len(drawn) == 400 and set(drawn.f_cond) == set(KINDS)
    ws = drawn.w[:3, None].float().expand(-1, sampler.generator.num_ws, -1)
    x = sampler.generator.synthesis(ws).clamp(-1, 1)
    assert torch.allclose(drawn.f_img[:3].float(), sampler.embedding.embed_images(x), atol=2e-3)
    numbers = sampler.codes.read(x, "morphable")
    assert torch.allclose(drawn.f_cond["morphable"][:3].float(), numbers, atol=2e-2)
    kept, held_out = drawn.part(held_out=False), drawn.part(held_out=True)
    assert (len(kept), len(held_out)) == (380, 20)
    assert torch.equal(torch.cat([kept.w, held_out.w]), drawn.w)


def test_samples_are_made_once_and_belong_to_their_networks(sampler, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(samples, "CHUNK", 8)
    first = samples.collect(sampler, tmp_path, 16)
    (tmp_path / sampler.name / "00001.safetensors").unlink()
    made = []
    chunk = samples.Sampler.chunk
    monkeypatch.setattr(samples.Sampler, "chunk", lambda s, n: made.append(n) or chunk(s, n))
    again = samples.collect(sampler, tmp_path, 16)
    assert made == [1] and torch.equal(first.w, again.w)
    before = sampler.name
    with torch.no_grad():
        sampler.codes.parser.classify.bias[0] += 1
    assert sampler.name != before
    with torch.no_grad():
        sampler.codes.parser.classify.bias[0] -= 1
    with pytest.raises(FileNotFoundError, match="must hold samples"):
        samples.kept(tmp_path / "elsewhere")


def test_the_loss_is_eq_7() -> None:
    w, found = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, -3.0]])
    absolute, direction = recipe.mapping_loss(w, found)
    assert absolute.item() == pytest.approx((1 + 49) / 2)
    assert direction.item() == pytest.approx(1.0)


def linear_world(count: int = 1500) -> samples.Samples:
    """Samples whose w is a matter of the embedding and the condition, half and half."""
    random = torch.Generator().manual_seed(0)
    causes = torch.randn(count, 8, generator=random)
    ways = torch.randn(3, 8, 32, generator=random)
    f_img = torch.nn.functional.normalize(causes[:, :4] @ ways[0, :4], dim=1)
    w = 2.5 + 0.3 * causes @ ways[1]
    return samples.Samples(w, f_img, {"mask": 40 * causes[:, 4:] @ ways[2, :4]})


@pytest.mark.parametrize("layers", [2, 4, 12])
@pytest.mark.parametrize("normalise", [True, False])
def test_a_mapping_may_begin_as_the_solution(monkeypatch, layers: int, normalise: bool) -> None:
    """Of codes that depend on inputs as a plane before the last activation, it misses nothing."""
    monkeypatch.setattr(recipe, "RIDGE", 1e-7)
    random = torch.Generator().manual_seed(0)
    f_img = torch.nn.functional.normalize(torch.randn(400, 12, generator=random), dim=1)
    f_cond = 3 + 2 * torch.randn(400, 5, generator=random)
    plane = torch.randn(17, 8, generator=random)
    w = torch.nn.functional.leaky_relu(torch.cat([f_img, f_cond], 1) @ plane + 1, 0.2)
    kept = samples.Samples(w, f_img, {"mask": f_cond})
    net = recipe.fresh(kept, "mask", w.mean(0), layers=layers, width=17, normalise=normalise)
    recipe.solve(net, kept, pseudo=False).eval()
    assert (net(f_img, f_cond) - w).abs().max() < 2e-3
    # Of fewer directions than codes have, what is missed is little, and the mean is still right.
    thin = recipe.fresh(kept, "mask", w.mean(0), layers=layers, width=6, normalise=normalise)
    found = recipe.solve(thin, kept, pseudo=False).eval()(f_img, f_cond)
    missed = (found - w).square().mean() / w.var(0).mean()
    assert 0.01 < missed < 0.6


@pytest.mark.parametrize("pseudo", [True, False])
def test_a_mapping_learns_from_samples_alone(tmp_path, pseudo: bool) -> None:
    world = linear_world()
    kept, held_out = world.part(held_out=False), world.part(held_out=True)
    net = recipe.fresh(kept, "mask", kept.w.mean(0), layers=3, width=64, dropout=0.0)
    loop = Loop(tmp_path, 1, "cpu", progress=False, steps=300)
    net = recipe.train(kept, net, loop, batch=64, rate=3e-3, pseudo=pseudo)
    numbers = recipe.unexplained(net, held_out, loop.device)
    best = numbers["unexplained w with embeddings of pictures"]
    assert best < (0.7 if pseudo else 0.3)
    # What it learnt without the noise holds less under it: that is what Eq. 2 is for.
    assert (numbers["unexplained w with pseudo texts"] < 0.7) is pseudo
    assert numbers["unexplained w without the condition"] > best
    assert numbers["unexplained w without the embedding"] > best


def test_held_out_captions_are_true_and_measured(sampler, drawn) -> None:
    data = Portraits()
    texts = recipe.captions_of(data, 12)
    assert len(texts) == 12 and texts == recipe.captions_of(data, 12)
    for kind in KINDS:
        net = recipe.fresh(drawn, kind, drawn.w.float().mean(0), layers=2, width=16).eval()
        numbers = recipe.agreement(net, sampler, data)
        assert set(numbers) == {"cosine of picture and caption", f"agreement with the {kind}"}
        assert all(-1 <= value <= 1 for value in numbers.values())


@pytest.mark.parametrize("kind", ("mask", "sketch"))
def test_autoencoders_learn(tmp_path, kind: str) -> None:
    data, loop = Portraits(), Loop(tmp_path, 1, "cpu", progress=False, steps=40)
    if kind == "sketch":
        data.images[:] = 0
        data.images[:, :, 16:] = 255
    torch.manual_seed(0)
    net = ConditionAutoencoder(kind, SIZE)
    x = net.seen(autoencoders.conditions(data, kind, np.arange(12)))
    before = net.loss(x).item()
    net = autoencoders.train(data, loop, net, batch=8, rate=5e-3)
    assert net.loss(x).item() < before
    numbers = autoencoders.evaluate(net, data, loop.device)
    assert all(0 <= value <= 1 for value in numbers.values())
    assert set(numbers) == (
        {"f1 of lines"} if kind == "sketch" else {"pixels in their class", "miou"}
    )


def test_conditions_are_moved_and_mirrored_whole() -> None:
    x = torch.arange(16).expand(6, 16, 16)
    found = autoencoders.moved(x, torch.Generator().manual_seed(0), most=0)
    mirrored = (found == x.flip(2)).all(2).all(1)
    assert 0 < mirrored.sum() < 6 and (found == x).all(2).all(1)[~mirrored].all()


def test_3dmm_numbers_are_learnt(tmp_path) -> None:
    data, loop = Portraits(), Loop(tmp_path, 1, "cpu", progress=False, steps=150)
    torch.manual_seed(0)
    net = MorphableNet(CLAY.names, channels=(4, 8, 16))
    net.set_scale(morphable.truth(data))
    before = morphable.evaluate(net.eval(), data, loop.device)
    after = morphable.evaluate(morphable.train(data, loop, net, batch=8), data, loop.device)
    assert after["r2 pose"] > before["r2 pose"] and after["degrees yaw"] < before["degrees yaw"]
    assert {f"error {group}" for group in CLAY.groups} < set(after)
