"""Where networks compute and wait, on the CPU: hooks, offload, and running out of memory."""

from __future__ import annotations

import threading
import weakref

import pytest
import torch
from torch import nn

from pipelines import runtime
from pipelines.networks import cameras, stylegan1
from pipelines.networks.indomain_encoder import InDomainEncoder
from pipelines.networks.irse import FaceRecogniser
from pipelines.networks.stylegan2 import Generator
from pipelines.runtime import OFFLOADS, Placed, Runtime, bytes_of, choose_device, room_for, stage
from tests.networks.test_eg3d import build as build_eg3d
from tests.pipelines import test_editgan, test_indomain
from tests.pipelines.test_indomain import portrait

CPU = torch.device("cpu")
CHANNELS = {4: 8, 8: 8, 16: 8}
PRECISIONS = (torch.float32, torch.float16)


def tiny() -> list[nn.Module]:
    """Frozen networks of each kind that a page hooks."""
    torch.manual_seed(0)
    faces = FaceRecogniser(depths=(1, 1, 1, 1))
    old = stylegan1.Generator(16, 8, 8, mapping_dim=8, channels=CHANNELS)
    modules = [
        Generator(16, channels=CHANNELS).synthesis,
        old.synthesis,
        InDomainEncoder(32),
        faces,
    ]
    return [module.eval().requires_grad_(False) for module in modules]


def inputs() -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    shapes = ((1, 6, 512), (1, 6, 8), (1, 3, 32, 32), (1, 3, 112, 112))
    return [torch.randn(*shape, generator=random) for shape in shapes]


class Doubling(Placed):
    """A pipeline of one layer, which fails as often as it is told to."""

    def __init__(self, failures: int = 0, offload: str = "none") -> None:
        self.layer = nn.Linear(4, 4)
        self.failures, self.seen, self.held = failures, [], None
        self.place([self.layer], "cpu", offload, side=8)

    @stage
    def double(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(self.runtime.offload)
        if self.held is not None:
            assert self.held() is None, "the failed call still holds its tensors"
        large = torch.zeros(1000)
        self.held = weakref.ref(large)
        if len(self.seen) <= self.failures:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return 2 * self.layer(x) + large[0]


# ---- the decision --------------------------------------------------------------------------------


def test_the_first_gpu_has_its_number(monkeypatch) -> None:
    assert str(choose_device("cuda")) == "cuda:0"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert str(choose_device()) == str(choose_device("auto")) == "cuda:0"
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert str(choose_device()) == "cuda:1" and choose_device("cpu") == CPU
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert choose_device() == CPU
    assert str(choose_device("cuda:0")) == "cuda:0"


@pytest.mark.parametrize(
    ("need", "room", "offload"),
    [(400, 600, "none"), (400, 601, "model"), (1000, 600, "model"), (1001, 0, "sequential")],
)
def test_free_memory_decides(monkeypatch, need: int, room: int, offload: str) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 8000))
    assert Runtime.decide("cuda", need=need, room=room).offload == offload
    assert Runtime.decide("cpu", need=need, room=room).offload == "none"
    assert Runtime.decide("cuda", False, need, room).offload == "none"
    assert Runtime.decide("cuda", True, need, room).offload == "model"
    assert Runtime.decide("cuda", "sequential", need, room).offload == "sequential"


def test_a_decision_is_final_and_checked() -> None:
    decided = Runtime.decide("cpu")
    with pytest.raises(AttributeError):
        decided.offload = "model"
    with pytest.raises(ValueError, match="offload must be one of none, model, sequential.*got 'al"):
        Runtime.decide("cpu", "always")
    kinds = [decided, decided.more, decided.more.more]
    assert [kind.offload for kind in kinds] == list(OFFLOADS) and kinds[2].more is None


def test_half_precision_is_for_gpus_that_asked() -> None:
    assert Runtime.decide("cpu", half=True).dtype == torch.float32
    assert Runtime.decide("cuda", "none").dtype == torch.float32
    assert Runtime.decide("cuda", "none", half=True).dtype == torch.float16


def test_bytes_and_room() -> None:
    layer = nn.BatchNorm1d(3)
    assert bytes_of([layer]) == 4 * 3 * 4 + 8 and bytes_of([layer], away_from=CPU) == 0
    assert room_for(1024) == 64 * room_for(128)


# ---- hooks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("offload", OFFLOADS)
def test_every_network_answers_alike_wherever_it_waits(offload: str) -> None:
    with torch.no_grad():
        expected = [m(x) for m, x in zip(tiny(), inputs(), strict=True)]
        modules = tiny()
        before = [dict(module.state_dict()) for module in modules]
        place = Runtime(CPU, offload)
        hooks = place.place(modules)
        assert len(hooks) == (0 if offload == "none" else len(modules))
        for _ in range(2):
            with place.computing():
                found = [m(x) for m, x in zip(modules, inputs(), strict=True)]
            for hook in hooks:
                hook.offload()
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    for hook in hooks:
        hook.remove()
    for module, states in zip(modules, before, strict=True):
        after = module.state_dict()
        assert all(torch.equal(after[name], states[name]) for name in states)


@pytest.mark.parametrize("offload", OFFLOADS[1:])
def test_eg3d_is_hooked_where_it_has_weights(offload: str) -> None:
    network, z, c = build_eg3d(), torch.randn(1, 8), cameras.camera()
    expected = network(z, c)
    names = ("backbone.mapping", "backbone.synthesis", "renderer", "decoder", "superresolution")
    hooks = Runtime(CPU, offload).place([network.get_submodule(name) for name in names])
    assert len(hooks) == 4  # the renderer has nothing to move
    for one, other in zip(network(z, c), expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("offload", OFFLOADS)
@pytest.mark.parametrize("tests", [test_indomain, test_editgan])
def test_pages_give_the_same_pictures_with_every_offload(tests, offload: str) -> None:
    plain, away = tests.build(), tests.build(offload=offload)
    assert away.runtime.offload == offload and away.device == CPU
    names = {test_indomain: "invert", test_editgan: "embed"}
    one, other = (getattr(p, names[tests])(portrait(), steps=3) for p in (plain, away))
    assert torch.equal(one.w, other.w) and one.losses == other.losses
    assert one.image.tobytes() == other.image.tobytes()


def test_a_loop_uploads_each_network_once() -> None:
    """What the hooks move in a stage: no network leaves before the stage ends."""
    pipeline = test_indomain.build(offload="model")
    moves: list[str] = []
    for hook in pipeline._hooks:
        name = type(hook.model).__name__
        pre_forward, leave = hook.hook.pre_forward, hook.hook.init_hook

        def called(module, *args, name=name, pre_forward=pre_forward, **kwargs):
            moves.append(f"{name} called")
            return pre_forward(module, *args, **kwargs)

        def left(module, name=name, leave=leave):
            moves.append(f"{name} left")
            return leave(module)

        hook.hook.pre_forward, hook.hook.init_hook = called, left
        assert hook.hook.prev_module_hook is None
    pipeline.invert(portrait(), steps=4)
    calls = [move for move in moves if move.endswith("called")]
    assert calls.count("Synthesis called") == 5  # four steps and the result
    assert moves[: len(calls)] == calls and len(moves) - len(calls) == len(pipeline._hooks)


def test_sequential_keeps_what_autograd_saves_on_the_cpu(monkeypatch) -> None:
    entered = []
    real = torch.autograd.graph.save_on_cpu

    def counted(*args, **kwargs):
        entered.append(True)
        return real(*args, **kwargs)

    monkeypatch.setattr(torch.autograd.graph, "save_on_cpu", counted)
    for offload, times in (("none", 0), ("model", 0), ("sequential", 1)):
        Doubling(offload=offload).double(torch.ones(1, 4))
        assert len(entered) == times


def test_who_has_left_takes_no_network_from_the_next_visitor() -> None:
    """A stage that ends late and one that has begun: the second waits, as its networks move."""
    pipeline, order = Doubling(offload="model"), []
    inside, go_on = threading.Event(), threading.Event()

    def left(module, x) -> None:
        if not inside.is_set():
            inside.set()
            go_on.wait(10)
            order.append("first")
        else:
            order.append("second")

    pipeline.layer.register_forward_pre_hook(left)
    runs = [threading.Thread(target=pipeline.double, args=(torch.ones(1, 4),)) for _ in range(2)]
    runs[0].start()
    assert inside.wait(10)
    runs[1].start()
    runs[1].join(0.2)
    assert order == [] and runs[1].is_alive()
    go_on.set()
    for run in runs:
        run.join()
    assert order == ["first", "second"]


# ---- running out of memory -----------------------------------------------------------------------


def test_out_of_memory_is_tried_again_with_more_offload() -> None:
    pipeline, x = Doubling(failures=1), torch.ones(1, 4)
    found = pipeline.double(x)
    assert pipeline.seen == ["none", "model"] and pipeline.runtime.offload == "model"
    assert torch.equal(found, 2 * pipeline.layer(x)) and not found.requires_grad
    assert pipeline.double(x).equal(found) and pipeline.seen[2:] == ["model"]


@pytest.mark.parametrize(
    ("offload", "tried"),
    [
        ("none", ["none", "model"]),
        ("model", ["model", "sequential"]),
        ("sequential", ["sequential"]),
    ],
)
def test_out_of_memory_is_explained_in_one_sentence(offload: str, tried: list[str]) -> None:
    pipeline = Doubling(failures=9, offload=offload)
    with pytest.raises(MemoryError) as caught:
        pipeline.double(torch.ones(1, 4))
    assert pipeline.seen == tried
    words = str(caught.value)
    for part in ("must fit into the memory of cpu", f'offload "{tried[-1]}"', "fewer pictures"):
        assert part in words
    assert words.endswith(".") and words.count(". ") == 0


def test_other_errors_pass_and_hooks_still_leave() -> None:
    pipeline = Doubling(offload="model")
    left = []
    pipeline._hooks[0].hook.init_hook = left.append
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        pipeline.double(torch.ones(1, 3))
    assert left == [pipeline.layer] and pipeline.seen == ["model"]


def test_networks_that_do_not_fit_wait_on_the_cpu(monkeypatch) -> None:
    place = Runtime.place

    def small(self: Runtime, modules):
        if self.offload == "none":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return place(self, modules)

    monkeypatch.setattr(Runtime, "place", small)
    pipeline = Doubling()
    assert pipeline.runtime.offload == "model" and len(pipeline._hooks) == 1
    monkeypatch.setattr(runtime.Runtime, "more", None)
    with pytest.raises(MemoryError, match="smaller domain"):
        pipeline.use(Runtime(CPU))


def test_a_pipeline_moves_to_another_runtime_and_back() -> None:
    pipeline, x = Doubling(), torch.ones(1, 4)
    expected = pipeline.double(x)
    for offload in ("sequential", "model", "none"):
        pipeline.use(Runtime(CPU, offload))
        assert torch.equal(pipeline.double(x), expected)
    assert pipeline._hooks == []


# ---- precision -----------------------------------------------------------------------------------


def synthesis(scale: float) -> nn.Module:
    torch.manual_seed(0)
    network = Generator(16, channels=CHANNELS).synthesis.eval().requires_grad_(False)
    network.b4.const.mul_(scale)
    network.b4.conv1.affine.bias.mul_(scale)
    return network


def test_half_precision_is_as_near_as_its_digits() -> None:
    network, ws = synthesis(1.0), torch.randn(2, 6, 512)
    exact, halved = (Runtime(CPU, dtype=d).picture(network, ws) for d in PRECISIONS)
    assert halved.dtype == torch.float32 and not torch.equal(exact, halved)
    assert (exact - halved).abs().max() < 4e-3 * exact.abs().max()


def test_numbers_beyond_half_precision_are_computed_in_float32() -> None:
    network, ws = synthesis(1e4), torch.randn(1, 6, 512)
    with torch.no_grad(), torch.autocast("cpu", torch.float16):
        assert not network(ws).isfinite().all()
    exact, halved = (Runtime(CPU, dtype=d).picture(network, ws) for d in PRECISIONS)
    assert torch.equal(exact, halved) and exact.isfinite().all()
