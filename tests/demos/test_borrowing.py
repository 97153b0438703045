"""Borrowing a GPU, with a stand-in for the `spaces` package that forks as ZeroGPU does."""

from __future__ import annotations

import contextvars
import importlib.machinery
import multiprocessing
import pickle
import re
import sys
from dataclasses import dataclass
from types import ModuleType

import gradio as gr
import pytest
import torch

from demos.hub import borrowing
from demos.kit.bridge import Done, Pipelines, Stop, spoken_errors, stream
from pipelines.editgan import EditGAN
from pipelines.indomain import InDomain
from pipelines.runtime import Placed, stage
from tests.pipelines.test_indomain import build as build_indomain
from tests.pipelines.test_indomain import portrait
from weights import WeightsError

ENDLESS = 200_000  # steps
VISITOR = contextvars.ContextVar("visitor", default="nobody")


@dataclass(frozen=True)
class Step:
    stage: str
    index: int
    total: int
    loss: float
    images: tuple = ()


class Counting:
    """A pipeline that counts, and knows in which process."""

    device, parts = "cpu", ("hair",)

    def __init__(self, start: int) -> None:
        self.start = start

    def move_to(self, device: str) -> None:
        self.device = device

    def count(self, *, steps: int = 100, on_step=None) -> tuple:
        index = 0
        while index < steps and not (on_step and on_step(Step("count", index, steps, 0.5))):
            index += 1
        return self.start + index, self.device, multiprocessing.current_process().name

    def fail(self, on_step=None) -> None:
        raise MemoryError("this must fit; got out of memory: take fewer pictures.")

    count.is_stage = fail.is_stage = True
    count.steps = lambda *, steps=100: steps
    fail.steps = lambda: 0


def counting(start: int = 0) -> Counting:
    return Counting(start)


@pytest.fixture
def lent(monkeypatch) -> list:
    """A Space that lends GPUs; what is asked for there: seconds, and by whom."""
    asked, package = [], ModuleType("spaces")
    package.__spec__ = importlib.machinery.ModuleSpec("spaces", None)
    package.GPU = lambda duration: lambda task: _forking(task, duration, asked)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setitem(sys.modules, "spaces", package)
    monkeypatch.setattr(borrowing, "_built", {})
    monkeypatch.setattr(borrowing, "_task", borrowing.on_gpu(borrowing._asked)(borrowing._run))
    return asked


def _forking(task, duration, asked: list):
    """A generator that runs in a fork: arguments, results and errors are pickled."""
    fork = multiprocessing.get_context("fork")

    def work(sent: bytes, pipe) -> None:
        try:
            for item in task(*pickle.loads(sent)):
                pipe.send(item)
            pipe.send(None)
        except Exception as error:
            pipe.send(error)

    def handler(*args):
        asked.append((duration(*args), VISITOR.get()))
        near, far = fork.Pipe(duplex=False)
        process = fork.Process(target=work, args=(pickle.dumps(args), far), name="borrower")
        process.start()
        while (item := near.recv()) is not None:
            if isinstance(item, Exception):
                process.join()
                raise item
            yield item
        process.join()

    return handler


# ---- elsewhere -----------------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["", "false", "true"])
def test_nothing_changes_where_no_gpu_is_lent(monkeypatch, told: str) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", told)
    monkeypatch.setitem(sys.modules, "spaces", None)  # not installed
    if told == "true":
        monkeypatch.setattr(borrowing.importlib.util, "find_spec", lambda name: None)
    assert not borrowing.zero_gpu()
    assert borrowing.on_gpu(borrowing._asked)(counting) is counting
    assert type(borrowing.borrowed(counting, 5)()) is Counting


def test_seconds_follow_the_request() -> None:
    def asked(stage, *args, **kwargs) -> float:
        return (borrowing.seconds(stage, args, kwargs) - borrowing.START) / borrowing.STEP

    pictures, box = ["a", "b", "c"], (0, 0, 1, 1)
    assert asked(InDomain.invert, "picture") == pytest.approx(100)
    assert asked(InDomain.invert, "picture", steps=200, method="image2stylegan") == 200
    assert asked(InDomain.diffuse, "target", pictures, box, steps=50) == pytest.approx(150)
    assert asked(InDomain.invert, "picture", method="domain-guided", steps=100) == 0
    assert asked(InDomain.measure, "a", "b") == asked(EditGAN.apply, "embedding", ["vector"]) == 0
    assert asked(EditGAN.refine, "embedding", ["vector"]) == pytest.approx(30)
    assert asked(EditGAN.edit, "embedding", "mask", steps=60) == pytest.approx(60)


# ---- where GPUs are lent -------------------------------------------------------------------------


def test_stages_run_in_the_fork_and_the_rest_here(lent: list) -> None:
    pipeline = Pipelines(borrowing.borrowed(counting))(5)
    assert pipeline.parts == ("hair",) and pipeline.start == 5 and pipeline.device == "cpu"
    assert pipeline.count(steps=3) == (8, "cuda:0", "borrower")
    assert pipeline.device == "cpu"  # what moved is the fork's copy
    assert lent == [(borrowing.START + 3 * borrowing.STEP, "nobody")]


def test_a_fork_makes_what_it_does_not_have(lent: list) -> None:
    pipeline = borrowing.Borrower(counting(7), (counting, 7))  # not among those made before
    assert pipeline.count(steps=1)[0] == 8 and borrowing._built == {}


def test_steps_arrive_and_stop_goes_there(lent: list) -> None:
    pipeline, seen = borrowing.borrowed(counting)(), []

    def on_step(step: Step) -> bool:
        seen.append(step.index)
        return step.index == 3

    index, _, process = pipeline.count(steps=ENDLESS, on_step=on_step)
    assert process == "borrower" and 3 <= index < ENDLESS
    assert seen[:4] == [0, 1, 2, 3] and seen == list(range(index + 1))
    # The flag is down again for whoever comes next.
    assert pipeline.count(steps=4, on_step=lambda step: False)[0] == 4


def test_a_page_streams_from_the_fork_for_its_visitor(lent: list) -> None:
    load = borrowing.borrowed(counting)
    token = VISITOR.set("Ada")
    news = list(stream(lambda on_step: load().count(steps=50, on_step=on_step), Stop()))
    VISITOR.reset(token)
    assert isinstance(news[-1], Done) and news[-1].result == (50, "cuda:0", "borrower")
    assert lent == [(borrowing.START + 50 * borrowing.STEP, "Ada")]


def test_out_of_memory_there_reaches_the_page_in_words(lent: list) -> None:
    load = borrowing.borrowed(counting)
    with pytest.raises(gr.Error, match="take fewer pictures") as caught:
        list(stream(lambda on_step: load().fail(on_step=on_step), Stop()))
    assert str(caught.value.message).startswith("this must fit")
    with pytest.raises(gr.Error, match="take fewer pictures"):
        load().fail()


def test_a_real_pipeline_marks_its_stages(monkeypatch) -> None:
    monkeypatch.setattr(borrowing, "DEVICE", "cpu")
    pipeline, seen = build_indomain(), []
    monkeypatch.setattr(borrowing, "_built", {("key",): pipeline})
    borrower = borrowing.Borrower(pipeline, ("key",))
    found = borrower.invert(portrait(), steps=2, on_step=lambda step: seen.append(step.index))
    assert seen == [1, 2] and torch.equal(found.w, pipeline.invert(portrait(), steps=2).w)
    assert borrower.size == pipeline.size and borrower.methods == pipeline.methods
    stages = {name for name in dir(type(pipeline)) if hasattr(getattr(pipeline, name), "is_stage")}
    assert stages == {
        "invert", "interpolate", "manipulate", "mix", "diffuse", "inside", "measure",
        "measure_within",
        "placed", "seen",
    }  # fmt: skip


# ---- out of memory on this machine ---------------------------------------------------------------


class Hungry(Placed):
    def __init__(self) -> None:
        self.place([torch.nn.Linear(1, 1)], "cpu", None, side=8)

    @stage
    def invert(self, on_step=None) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_out_of_memory_is_a_readable_error() -> None:
    with pytest.raises(gr.Error) as caught, spoken_errors():
        Hungry().invert()
    words = caught.value.message
    assert "must fit into the memory of cpu" in words and "smaller domain" in words
    assert "Tried to allocate" not in words and not caught.value.print_exception


@pytest.mark.parametrize(
    "error",
    [
        WeightsError("photos/net: expected tensors of Generator; got others in /home/me/.cache."),
        OSError(28, "No space left on device", "/tmp/gan/codes.safetensors"),
        KeyError("g_ema"), RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_page_says_failures_without_files_and_names(error: Exception) -> None:
    with pytest.raises(gr.Error) as caught, spoken_errors():
        raise error
    words = caught.value.message
    assert "Whoever runs this app finds the reason in its log." in words
    assert not re.search(r"[/_]|[a-z][A-Z]|net:|Error|[0-9]", words)
