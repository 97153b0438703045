"""A run at its button, without a browser: the stop signal, the time left, results and inputs."""

from __future__ import annotations

import copy
import threading
import time
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from demos.kit import bridge
from demos.kit.bridge import Done, Progress, Stop, stream
from demos.kit.imaging import refuse
from demos.kit.inputs import GPU
from demos.kit.runs import FAILED, WAITS, Belonging, mark, run_button, wire_run
from demos.kit.words import running
from tests.demos.visitor import Visitor, until


def test_a_press_counts_from_asking_to_the_end():
    stop = Stop()
    assert stop.press() is False and not stop.pressed and stop.words == ""
    stop.ask()
    assert stop.press() is True and "nothing was run" in stop.words
    assert stop.withdrawn == 1
    stop.ask()
    assert not stop.pressed, "the press was for the run before"
    with stop.run():
        assert stop.press() is False and stop.pressed and "Stopping" in stop.words
    assert "result so far" in stop.words and not stop.pressed
    stop.ask()
    with stop.run():
        time.sleep(0.06)
    words = stop.words
    assert words.startswith("Done in 0.") and stop.press() is False and stop.words == words
    assert copy.deepcopy(stop).words == ""


def test_the_time_left_is_that_of_all_runs():
    early = Progress("optimise", 1, 100, (), (), 0.0)
    assert "left" not in running(early)
    midway = Progress("optimise", 51, 100, (), (), 10.0)  # 0.2 s a step
    assert "step 51 of 100, about 10 s left" in running(midway)
    assert "about 70 s left" in running(midway, 1, 5) and "30.2%" in running(midway, 1, 5)
    assert "about 2 min left" in running(midway, 0, 6)


def test_a_mark_tells_inputs_apart():
    one, two = Image.new("RGB", (8, 8), "teal"), Image.new("RGB", (8, 8), "navy")
    given = mark(one, 0.5, [two], None)
    assert given == mark(one.copy(), 0.5, (two.copy(),), None) and mark(1) == mark(1.0)
    others = [(two, 0.5, [two], None), (one, 0.4, [two], None), (one, 0.5, [one], None)]
    assert given not in [mark(*other) for other in others]
    assert mark(one.resize((4, 16))) != mark(one) and mark([one], [two]) != mark([one, two], [])


@pytest.fixture
def listeners():
    """A page whose result is the input in capitals: its listeners' functions by what they fill."""
    with gr.Blocks() as demo:
        given, result, of = gr.Textbox(), gr.Textbox(), gr.State()
        ui = run_button("Shout")

        def shout(text, stop):
            if not text:
                raise refuse("Say something.")
            yield {"result": text.upper()}

        belonging = Belonging([given], of, {"result": result}, lambda: {"result": ""})
        wire_run(ui, shout, {"result": result}, [given], "shout", belonging)
    names = {ui.state: "state", ui.halt: "halt", result: "result", of: "of"}
    return [(fn, names) for fn in demo.fns.values()]


def called(listeners, event: str, outputs: list[str], *inputs):
    """What the one listener to an event with these outputs gives, by name."""
    (found,) = [
        (fn, names) for fn, names in listeners
        if event in [name for _, name in fn.targets]
        and [names.get(o) for o in fn.outputs] == outputs
    ]  # fmt: skip
    given = found[0].fn(*inputs)
    if isinstance(given, tuple | str) or "__type__" in given:  # that is an update of nothing
        return given if isinstance(given, tuple | str) else {}
    return {found[1][component]: value for component, value in given.items()}


def test_results_go_when_their_inputs_do(listeners):
    stop = Stop()
    state, halt = called(listeners, "click", ["state", "halt"], stop)
    assert state == WAITS and halt["interactive"]
    begins = "click", ["result", "of"]
    of = called(listeners, *begins, stop, None, "hello")["of"]
    assert of == stop.made_of == mark("hello")
    assert called(listeners, *begins, stop, of, "hello") == {"of": of}  # the same once more
    gone = called(listeners, *begins, stop, mark("hallo"), "hello")
    assert gone == {"result": "", "of": of}  # a result of other inputs
    compare = "change", ["result", "state"]
    assert called(listeners, *compare, of, "hello") == {}
    gone = called(listeners, *compare, of, "hallo")
    assert gone["result"] == "" and "press <b>Shout</b>" in gone["state"]
    with stop.run():
        pass
    ended = "success", ["result", "state", "halt"]
    done = called(listeners, *ended, stop, "hello")
    assert "Done" in done["state"] and not done["halt"]["interactive"]
    gone = called(listeners, *ended, stop, "hallo")  # the input changed while it ran
    assert gone["result"] == "" and "press <b>Shout</b>" in gone["state"]


def test_what_a_run_failed_with_is_said_at_its_button(listeners):
    stop, failed = Stop(), ("failure", ["state", "halt"])
    with pytest.raises(gr.Error, match="Say something"):
        called(listeners, "click", ["result", "state"], "", stop)
    assert "Say something." in called(listeners, *failed, stop)[0]
    called(listeners, "click", ["state", "halt"], stop)  # asked for again
    assert called(listeners, *failed, stop)[0] == FAILED


def test_stop_can_be_pressed_as_long_as_there_is_something_to_stop(listeners):
    stop, ended = Stop(), ("success", ["result", "state", "halt"])
    assert not run_button("Whisper").halt.interactive and not stop.on
    stop.ask()
    assert stop.on
    with stop.run():
        assert stop.on
        stop.press()
        assert stop.on  # it goes on to the end of its step
    assert not stop.on
    stop.ask()
    late = called(listeners, *ended, stop, "hello")  # of the run before, when the next one waits
    assert late["halt"]["interactive"]
    stop.press()
    assert not stop.on, "what is withdrawn cannot be stopped"


def test_before_the_first_result_nothing_is_said(listeners):
    assert called(listeners, "change", ["result", "state"], None, "hallo") == {}


# ---- the place in the queue -----------------------------------------------------------------


@pytest.fixture
def worked():
    """The address of a page whose one button works in long steps; what is at work, and was most."""
    seen = SimpleNamespace(now=0, most=0, runs=0)

    def work(on_step):
        seen.now, seen.runs = seen.now + 1, seen.runs + 1
        seen.most = max(seen.most, seen.now)
        for i in range(1, 4):
            time.sleep(0.7)
            if on_step(SimpleNamespace(stage="work", index=i, total=3, loss=None, images=None)):
                break
        seen.now -= 1

    def run():
        for news in stream(work, Stop()):
            yield "done" if isinstance(news, Done) else news.words

    with gr.Blocks() as demo:
        gr.Button().click(run, None, gr.Textbox(), api_name="work", **GPU)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    yield url, seen
    demo.close()


def left_behind(url, seen):
    """A visitor who leaves in the middle of a step while another one waits; the other's answer."""
    one, two = Visitor(url), Visitor(url)
    job = one.submit(api_name="/work")
    until(lambda: seen.now == 1)
    waits = two.submit(api_name="/work")
    time.sleep(0.2)
    job.cancel()
    answer = waits.result(timeout=60)
    for client in (one, two):
        client.close()
    return answer


def test_a_place_is_free_when_the_thread_of_who_left_has_ended(worked):
    url, seen = worked
    assert left_behind(url, seen) == "done" and (seen.runs, seen.most) == (2, 1)


def test_a_step_without_an_end_holds_a_place_no_longer_than_patience(monkeypatch):
    monkeypatch.setattr(bridge, "PATIENCE", 0.1)
    never, places = threading.Event(), bridge._Places()

    def seconds(place: str, event: str) -> float:
        begun = time.monotonic()
        places.start(threading.Thread(target=never.wait, daemon=True), place, event)
        return time.monotonic() - begun

    seconds("gpu", "a")
    assert 0.1 <= seconds("gpu", "b")
    assert seconds("gpu", "b") >= 0.1  # the thread of "a" is still there
    assert seconds("domains", "c") < 0.1
    never.set()
