"""The portrait judge and the ArcFace margin."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from pipelines.networks.judge import ArcFace, PortraitJudge


def tiny() -> PortraitJudge:
    torch.manual_seed(0)
    return PortraitJudge(
        choices={"glasses": 5, "hat": 4},
        values=("age", "yaw"),
        channels=(8, 8, 16),
        embedding=8,
    ).eval()


def portraits(count: int = 2) -> torch.Tensor:
    return torch.linspace(-1, 1, count * 3 * 32 * 32).reshape(count, 3, 32, 32)


def test_output_names_shapes_and_unit_embedding() -> None:
    output = tiny()(portraits())
    assert {k: v.shape for k, v in output.choices.items()} == {"glasses": (2, 5), "hat": (2, 4)}
    assert {k: v.shape for k, v in output.values.items()} == {"age": (2,), "yaw": (2,)}
    assert output.embedding.shape == (2, 8)
    torch.testing.assert_close(output.embedding.norm(dim=1), torch.ones(2))


def test_fixed_slice() -> None:
    output = tiny()(portraits())
    expected = torch.tensor([0.04101, -0.10703, 0.16644, 0.55176])
    torch.testing.assert_close(output.embedding[0, :4], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        output.values["yaw"], torch.tensor([0.03987, 0.03375]), atol=1e-4, rtol=0
    )


def test_values_come_in_natural_units() -> None:
    judge = tiny()
    before = judge(portraits()).values["yaw"]
    samples = torch.tensor([[0.0, -30.0], [1.0, 10.0], [0.5, 50.0]])
    judge.set_scale(samples)
    after = judge(portraits()).values["yaw"]
    torch.testing.assert_close(after, 40.0 * before + 10.0)


def test_gradient_reaches_the_picture() -> None:
    judge = tiny().requires_grad_(False)
    x = portraits().requires_grad_()
    (1 - judge(x).embedding[0] @ judge(x).embedding[1].detach()).backward()
    assert x.grad[0].abs().sum() > 0
    assert x.grad[1].abs().sum() == 0


def test_larger_pictures_are_judged_too() -> None:
    assert tiny()(torch.zeros(1, 3, 96, 64)).embedding.shape == (1, 8)


def test_missing_batch_axis_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 32, 32\)"):
        tiny()(torch.zeros(3, 32, 32))


def test_config_rebuilds_the_judge(tmp_path) -> None:
    judge = tiny()
    judge.save_pretrained(tmp_path)
    again = PortraitJudge.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(portraits()).values, judge(portraits()).values)


def angles(degrees: list[float]) -> torch.Tensor:
    radians = torch.tensor(degrees).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def test_margin_lowers_only_the_true_logit_by_the_added_angle() -> None:
    embedding, centres = angles([20.0, 100.0]), angles([0.0, 90.0, 180.0])
    labels = torch.tensor([0, 1])
    plain = ArcFace(margin=0.0, scale=10.0)(embedding, centres, labels)
    with_margin = ArcFace(margin=0.3, scale=10.0)(embedding, centres, labels)
    true = F.one_hot(labels, 3).bool()
    assert (with_margin[true] < plain[true]).all()
    torch.testing.assert_close(with_margin[~true], plain[~true])
    expected = 10 * math.cos(math.radians(20) + 0.3)
    assert with_margin[0, 0].item() == pytest.approx(expected, abs=1e-4)


def test_margin_keeps_falling_up_to_the_opposite_side() -> None:
    degrees = [float(d) for d in range(0, 181, 5)]
    labels = torch.zeros(len(degrees), dtype=torch.long)
    logits = ArcFace(margin=0.5, scale=1.0)(angles(degrees), angles([0.0]), labels)[:, 0]
    assert (logits.diff() < 0).all()


def test_margin_has_a_finite_gradient_at_its_centre() -> None:
    embedding = angles([0.0]).requires_grad_()
    logits = ArcFace()(embedding, angles([0.0, 180.0]), torch.tensor([0]))
    F.cross_entropy(logits, torch.tensor([0])).backward()
    assert embedding.grad.isfinite().all()


def test_the_pages_words_follow_the_shipped_judge() -> None:
    from demos.kit import words
    from weights import load_config

    thresholds = load_config("clay-heads/judge")["thresholds"]
    assert (words.SAME, words.PERHAPS) == pytest.approx(thresholds, abs=0.006)
