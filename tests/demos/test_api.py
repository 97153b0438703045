"""The documented functions: each called by the Python client, as curl does, and as an MCP tool."""

from __future__ import annotations

import ast
import asyncio
import base64
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.numpy
import torch
from gradio_client import Client, handle_file
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from PIL import Image
from safetensors.numpy import save_file

from demos import clay
from demos.editgan import api as editgan_api
from demos.indomain import api as indomain_api
from demos.kit import api, bridge, part_masks
from demos.kit.api import PAGE, endpoint
from demos.kit.arguments import as_file
from demos.papers import PAPERS
from demos.sam_inversion import api as sam_api
from examples.clay.parts import PART_PALETTE, PARTS
from examples.portraits import TEST
from pipelines.latents import save_codes
from tests.demos import fake_editgan
from tests.demos.fake_editgan import FakeEditGAN
from tests.demos.fake_pipeline import FakeInDomain
from tests.demos.fake_sam import FakeSAM
from tests.demos.visitor import leave, until

LARGEST_INFO = 15_000 * sum(bool(paper.page) for paper in PAPERS)  # bytes
# Certificates would be loaded anew for every request: 80 ms each.
HTTP = httpx.Client(verify=False, timeout=120)
SMILE = {"smile": 0.5}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, Path]:
    """A portrait and a repainted part mask, as files; latents join them as they are made."""
    folder = tmp_path_factory.mktemp("inputs")
    y, x = np.mgrid[:128, :128]
    picture = Image.fromarray(np.stack([x, y, (x * y) % 255], -1).astype(np.uint8))
    picture.save(folder / "picture.png")
    painted = part_masks.grown(fake_editgan.face(), PARTS.index("lower lip"), 3)
    Image.fromarray(PART_PALETTE[painted]).save(folder / "painted.png")
    found = {name: folder / f"{name}.png" for name in ("picture", "painted")}
    for name, function in (("indomain", "invert"), ("editgan", "embed"), ("sam", "invert")):
        path = result(function, name)(found["picture"], steps=3)[-1]["path"]
        found[f"{name} latent"] = Path(path)
    return found


# Functions of papers whose networks ship, with arguments; a `Path` stands for one of `inputs`.
EVERY: dict[str, dict[str, Any]] = {
    "clay_portrait": {"seed": TEST.start, "changes": SMILE},
    "indomain_invert": {"picture": Path("picture"), "method": "in-domain", "steps": 5},
    "indomain_manipulate": {"subject": Path("indomain latent"), "changes": SMILE, "steps": 5},
    "indomain_interpolate": {
        "first": Path("picture"), "second": Path("indomain latent"), "count": 3, "steps": 5,
    },
    "indomain_mix": {"content": Path("picture"), "style": Path("picture"), "layers": 4, "steps": 5},
    "indomain_diffuse": {
        "target": Path("picture"), "context": Path("picture"), "x": 0.5, "y": 0.5, "width": 0.4,
        "height": 0.4, "steps": 5,
    },
    "indomain_attributes": {},
    "editgan_embed": {"picture": Path("picture"), "steps": 5},
    "editgan_sample": {"seed": 3},
    "editgan_vector": {
        "subject": Path("editgan latent"), "vector": "smile", "scale": 1.5, "refine": 3,
        "steps": 5,
    },
    "editgan_paint": {
        "subject": Path("editgan latent"), "mask": Path("painted"), "parts": None, "steps": 5,
    },
    "editgan_lists": {},
    "sam_inversion_map": {"picture": Path("picture"), "tau": 0.3},
    "sam_inversion_invert": {
        "picture": Path("picture"), "how": "optimised", "tau": None, "steps": 5,
    },
    "sam_inversion_edit": {
        "subject": Path("sam latent"), "attribute": "smile", "strength": 0.5, "tau": None,
        "steps": 5,
    },
    "sam_inversion_lists": {},
    "mm2latent_generate": {
        "prompt": "blond hair", "mask": None, "sketch": None, "numbers": {"yaw": 20.0},
        "variety": 1.0, "seed": 3, "unsaid": 0.5,
    },
    "mm2latent_edit": {
        "subject": Path("picture"), "target": "blond hair", "kind": "text", "mask": None,
        "sketch": None, "numbers": None, "pivot": "a portrait of a person", "beta": 1.0,
    },
    "mm2latent_lists": {},
    "diffusion_inversion_generate": {
        "prompt": "red hair", "drawing": Path("picture"), "kind": "scribble", "t": 999, "noise": 3,
        "strength": 1.0, "style": "none",
    },
    "diffusion_inversion_denoise": {
        "prompt": "red hair", "drawing": Path("picture"), "kind": "scribble", "noise": 3,
        "strength": 1.0, "steps": 2,
    },
    "diffusion_inversion_lists": {},
}  # fmt: skip
RUNNING = ("clay", *(paper.slug for paper in PAPERS if paper.page))
CALLS = {name: given for name, given in EVERY.items() if name.startswith(RUNNING)}


def by_client(url: str, name: str, arguments: dict[str, Any]) -> list:
    client = Client(url, verbose=False, ssl_verify=False)
    sent = {k: handle_file(v) if isinstance(v, Path) else v for k, v in arguments.items()}
    found = client.predict(**sent, api_name=f"/{name}")
    leave(client)
    results = found if isinstance(found, tuple) else [found]
    return [_seen(Path(r).read_bytes()) if isinstance(r, str) else _seen(r) for r in results]


def by_http(url: str, name: str, arguments: dict[str, Any]) -> list:
    """As curl does: one POST, one GET of the stream; files inside the call, results by address."""
    results = streamed(url, name, [_inline(v) for v in arguments.values()])["complete"]
    return [_seen(_fetched(r["url"]) if _is_file(r) else r) for r in results]


def by_mcp(url: str, name: str, arguments: dict[str, Any]) -> list:
    answer = asyncio.run(tool(url, name, {k: _inline(v) for k, v in arguments.items()}))
    assert not answer.isError, answer.content
    results = []
    for part in answer.content:
        if part.type == "image":
            results.append(_seen(base64.b64decode(part.data)))
        elif part.text.startswith("http"):
            results.append(_seen(_fetched(part.text)))
        elif not part.text.startswith("Image URL"):
            results.append(_seen(ast.literal_eval(part.text)))
    return results


async def tool(url: str, name: str, arguments: dict[str, Any]) -> Any:
    async def report(*_: Any) -> None:
        """Gradio hands out pictures to those who ask for progress."""

    async with (
        streamablehttp_client(f"{url}/gradio_api/mcp/") as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        return await session.call_tool(name, arguments, progress_callback=report)


def streamed(url: str, name: str, data: list) -> dict[str, Any]:
    """The last data of each event."""
    address = f"{url}/gradio_api/call/{name}"
    posted = HTTP.post(address, json={"data": data})
    stream = HTTP.get(f"{address}/{posted.json()['event_id']}").text
    lines = [block.split("\n", 1) for block in stream.strip().split("\n\n") if block.strip()]
    return {e.strip()[7:]: json.loads(d.strip().removeprefix("data: ")) for e, d in lines}


def _inline(value: Any) -> Any:
    if not isinstance(value, Path):
        return value
    return "data:application/octet-stream;base64," + base64.b64encode(value.read_bytes()).decode()


def _fetched(address: str) -> bytes:
    return HTTP.get(address).raise_for_status().content


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and "url" in value


def _seen(result: Any) -> Any:
    """A result without what differs between calls: the time that it took, and addresses."""
    if isinstance(result, bytes) and result[:4] == b"\x89PNG":
        picture = Image.open(io.BytesIO(result)).convert("RGB")
        return picture.size, picture.tobytes()
    if isinstance(result, bytes):  # a latent file, whose header has no fixed order
        return {name: w.tobytes() for name, w in safetensors.numpy.load(result).items()}
    if isinstance(result, dict):
        return {key: value for key, value in result.items() if key != "seconds"}
    return len(result) if isinstance(result, list) else result


@pytest.mark.parametrize("name", CALLS)
def test_a_function_answers_client_curl_and_mcp_alike(served, inputs, name):
    given = {
        key: inputs[value.name] if isinstance(value, Path) else value
        for key, value in CALLS[name].items()
    }
    client, http, mcp = (by(served, name, given) for by in (by_client, by_http, by_mcp))
    assert client == http == mcp
    told = next(item for item in client if isinstance(item, dict))
    assert told, "there are numbers"


def test_the_documentation_is_small_and_of_these_functions_alone(served):
    answer = HTTP.get(f"{served}/gradio_api/info")
    named = answer.json()["named_endpoints"]
    assert set(named) == {f"/{name}" for name in CALLS} and len(answer.content) < LARGEST_INFO
    for name, found in named.items():
        assert found["description"], name
        for parameter in found["parameters"]:
            assert parameter["python_type"]["description"], (name, parameter["parameter_name"])
    everything = HTTP.get(f"{served}/gradio_api/info?all_endpoints=true")
    assert not [name for name in everything.json()["named_endpoints"] if PAGE in name]


def test_a_result_goes_on_by_its_address(served, inputs):
    *_, latent = streamed(served, "indomain_invert", [_inline(inputs["picture"]), "in-domain", 3])[
        "complete"
    ]
    for sent in (latent, latent["url"]):
        answer = streamed(served, "indomain_manipulate", [sent, SMILE, 3])
        assert answer["complete"][1]["changes"] == SMILE
    told = asyncio.run(
        tool(served, "indomain_manipulate", {"subject": latent["url"], "changes": SMILE})
    )
    assert not told.isError and told.content[0].type == "image"


def test_no_file_of_the_server_is_read(served):
    for sent in ({"path": "/etc/hostname"}, as_file(Path("/etc/hostname")), "/etc/hostname"):
        error = streamed(served, "indomain_invert", [sent, "in-domain", 3])["error"]["error"]
        assert "must be a picture" in error or "not uploaded" in error
    address = f"{served}/gradio_api/file=/etc/hostname"
    error = streamed(served, "indomain_invert", [address, "in-domain", 3])["error"]["error"]
    assert "could not be fetched" in error


def test_a_call_with_too_few_values_is_told_which_it_takes(served, capfd):
    error = streamed(served, "indomain_invert", ["face.png"])["error"]["error"]
    assert error.startswith("A call must have 3 values: picture, method, steps; got 1.")
    assert "Traceback" not in capfd.readouterr().err


def test_mcp_says_what_is_wrong(served):
    answer = asyncio.run(tool(served, "clay_portrait", {"seed": 5}))
    assert answer.isError and "whole number from" in answer.content[0].text


# ---- bad input, without a server -----------------------------------------------------------------


def result(name: str, paper: str) -> Callable:
    """The last thing that an endpoint yields; paths stand for files that were sent."""
    made = {
        "indomain": lambda: indomain_api.functions(FakeInDomain),
        "editgan": lambda: editgan_api.functions(FakeEditGAN),
        "sam": lambda: sam_api.functions(FakeSAM),
        "clay": lambda: clay.FUNCTIONS,
    }[paper]()
    called = endpoint(name, next(f for f in made if f.__name__ == name))

    def run(*given: Any, **named: Any) -> Any:
        sent = [as_file(v) if isinstance(v, Path) else v for v in given]
        arguments = called.__signature__.bind(*sent, **named)
        arguments.apply_defaults()
        return list(called(*arguments.args))[-1]

    return run


NOTHING = (None, 5, math.nan, "", "face.png", [], {}, [[1]], True, "data:image/png;base64,?")


@pytest.mark.parametrize("value", NOTHING, ids=repr)
def test_what_is_no_picture_is_said(value):
    with pytest.raises(Exception, match=r"^.?picture must be a picture.*; got"):
        result("invert", "indomain")(value)
    with pytest.raises(Exception, match="subject must be a picture or a latent file"):
        result("vector", "editgan")(value, "smile")
    with pytest.raises(Exception, match="subject must be a picture or a latent file"):
        result("edit", "sam")(value, "smile")


@pytest.mark.parametrize(
    "value", [None, "ten", math.nan, math.inf, -1, 0, 2.5, 301, 10**400, [5], True], ids=repr
)
def test_steps_that_are_no_steps_are_said(inputs, value):
    with pytest.raises(Exception, match="steps must be a whole number from 1 to 300; got"):
        result("invert", "indomain")(inputs["picture"], steps=value)


@pytest.mark.parametrize("value", ["age", [1], {"age": math.nan}, {"age": None}, {"age": "1"}, 7])
def test_changes_that_are_no_numbers_are_said(inputs, value):
    with pytest.raises(Exception, match="changes must be an object of numbers by name"):
        result("manipulate", "indomain")(inputs["indomain latent"], value)
    with pytest.raises(Exception, match="changes must be an object of numbers by name"):
        result("portrait", "clay")(TEST.start, value)


@pytest.mark.parametrize("value", ["much", math.nan, math.inf, -0.1, 101, [0.2], True], ids=repr)
def test_thresholds_that_are_none_are_said(inputs, value):
    for name, given in (("map", ()), ("invert", ("optimised",)), ("edit", ("smile", 0.8))):
        with pytest.raises(Exception, match="tau must be a number from 0 to 100; got"):
            result(name, "sam")(inputs["picture"], *given, value)


def test_other_values_out_of_range_are_said(inputs):
    picture, latent = inputs["picture"], inputs["editgan latent"]
    for words, name, paper, given in (
        ("method must be one of", "invert", "indomain", (picture, "sharp")),
        ("layers must be", "mix", "indomain", (picture, picture, 13)),
        ("count must be", "interpolate", "indomain", (picture, picture, 1)),
        ("x must be a number from 0 to 1", "diffuse", "indomain", (picture, picture, math.nan)),
        ("scale must be a number from -2 to 2", "vector", "editgan", (latent, "smile", math.inf)),
        ("vector must be a file or one of", "vector", "editgan", (latent, "no such vector")),
        ("vector must be a name", "vector", "editgan", (latent, None)),
        ("parts must be a list", "paint", "editgan", (latent, inputs["painted"], "lip")),
        ("colours of a mask", "paint", "editgan", (latent, picture)),
        ("how must be one of optimised, encoded", "invert", "sam", (picture, "hybrid")),
        ("attribute must be one of age", "edit", "sam", (picture, "hat")),
        ("strength must be a number from -1 to 1", "edit", "sam", (picture, "smile", math.nan)),
        ("seed must be a whole number", "portrait", "clay", (3,)),
        ("changes must name", "portrait", "clay", (TEST.start, {"gender": 1})),
    ):
        with pytest.raises(Exception, match=words):
            result(name, paper)(*given)


def test_files_that_are_no_latents_of_this_generator_are_said(inputs, tmp_path):
    names = ("shape", "several", "cut", "other")
    shape, several, cut, other = (tmp_path / f"{name}.safetensors" for name in names)
    save_file({"code": np.zeros((1, 3, 4), np.float32)}, shape)
    save_file({"a": np.zeros((1, 12, 512), np.float32)}, several)
    cut.write_bytes(inputs["indomain latent"].read_bytes()[:3000])
    save_codes(other, {"code": torch.zeros(1, 12, 512)}, "0" * 64)
    for path in (shape, several, cut, other):
        with pytest.raises(Exception, match="must be|Download it again"):
            result("manipulate", "indomain")(path, SMILE)
    beside = tmp_path / "beside.safetensors"  # a feature change of another shape
    tensors = safetensors.numpy.load_file(inputs["sam latent"])
    save_file(tensors | {"code.b8.conv1": np.zeros((1, 4, 9, 9), np.float16)}, beside,
              {"config": json.dumps(FakeSAM().layout.about)})  # fmt: skip
    for path in (shape, several, cut, other, beside):
        with pytest.raises(Exception, match="must be|Download it again"):
            result("edit", "sam")(path, "smile")


def test_numbers_that_json_has_not_are_null(inputs):
    told = result("embed", "editgan")(inputs["picture"], steps=2)[2]
    assert told["psnr"] is None and told["steps"] == 2 and told["seconds"] >= 0
    json.dumps(told, allow_nan=False)


def test_a_vector_that_was_painted_edits_another_picture(inputs):
    latent, painted = inputs["editgan latent"], inputs["painted"]
    *_, told, _, vector = result("paint", "editgan")(latent, painted, steps=3)
    assert "lower lip" in told["parts"] and told["as_painted"] > 0.9
    again = result("vector", "editgan")(inputs["picture"], Path(vector["path"]), steps=2)
    assert again[2]["mask_changed"] == told["mask_changed"] > 0


def test_a_client_that_never_reads_does_not_hold_the_machine(served, fake, inputs, monkeypatch):
    monkeypatch.setattr(api, "UNREAD", 5)
    monkeypatch.setattr(bridge, "SECONDS_BETWEEN_UPDATES", 0.0)
    monkeypatch.setattr(fake, "seconds_a_step", 0.02)
    done = fake.steps_done
    address = f"{served}/gradio_api/call/indomain_invert"
    data = [_inline(inputs["picture"]), "in-domain", 300]
    posted = HTTP.post(address, json={"data": data}).json()
    until(lambda: fake.steps_done > done)
    until(lambda: not bridge.BOARD.running)
    assert 5 <= fake.steps_done - done < 200
    stream = HTTP.get(f"{address}/{posted['event_id']}").text
    assert "a client that reads its answers" in stream
    monkeypatch.setattr(fake, "seconds_a_step", 0.0)
    assert by_http(served, "indomain_invert", {"picture": inputs["picture"], "method": "in-domain",
                                               "steps": 30})  # fmt: skip


def test_a_lecture_hall_has_places_in_the_queue(served, fake, inputs, monkeypatch):
    """While one run goes on, as many more are asked for at once as there are seats."""
    monkeypatch.setattr(fake, "seconds_a_step", 0.5)
    done = fake.steps_done
    data = [_inline(inputs["picture"]), "in-domain", 300]
    first = HTTP.post(f"{served}/gradio_api/call/indomain_invert", json={"data": data}).json()
    until(lambda: fake.steps_done > done)
    address = f"{served}/gradio_api/call/indomain_attributes"
    answers = [HTTP.post(address, json={"data": []}) for _ in range(100)]
    assert bridge.BOARD.running  # nobody's turn came meanwhile
    assert {answer.status_code for answer in answers} == {200}
    monkeypatch.setattr(fake, "seconds_a_step", 0.0)
    for name, event in (("invert", first), ("attributes", answers[-1].json())):
        stream = HTTP.get(f"{served}/gradio_api/call/indomain_{name}/{event['event_id']}").text
        assert "event: complete" in stream
