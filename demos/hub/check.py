"""What the Hub accepts as a Space: the front matter of README.md, its files, its requirements.

Sources: the Hub's "Spaces Configuration Reference", its list of licence identifiers and its limit
for files outside Git LFS. `faults` returns one sentence a fault, [] for a folder in order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from weights.manifest import WeightsError

LARGE = 10_000_000  # bytes that a plain Git file may have on the Hub
ZERO_TORCH = "torch>=2.8,<2.12"  # ZeroGPU offers torch up to 2.11
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
FLAVOURS = (
    "cpu-basic", "cpu-upgrade", "zero-a10g", "t4-small", "t4-medium", "l4x1", "l4x4", "l40sx1",
    "l40sx4", "l40sx8", "a10g-small", "a10g-large", "a10g-largex2", "a10g-largex4", "a100-large",
)  # fmt: skip
LICENCES = frozenset(
    """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
    c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl
    ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1
    lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa
    unlicense zlib pddl lgpl-lr unknown other
    """.split()
)
KEYS = frozenset(
    """
    title emoji colorFrom colorTo sdk sdk_version python_version app_file app_port base_path
    suggested_hardware suggested_storage fullWidth header short_description models datasets tags
    thumbnail pinned license license_name license_link hf_oauth hf_oauth_scopes
    hf_oauth_expiration_minutes disable_embedding startup_duration_timeout custom_headers
    preload_from_hub
    """.split()
)

_REPO = r"[\w.-]+/[\w.-]+"
_PRELOAD = re.compile(rf"{_REPO}( [^\s,]+(,[^\s,]+)*( [0-9a-f]{{40}})?)?")
_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin")


def split(readme: str) -> tuple[dict[str, Any], str]:
    """Front matter and text of a README; `WeightsError` without readable front matter."""
    import yaml

    found = re.match(r"---\n(.*?)\n---\n(.*)", readme, re.DOTALL)
    try:
        front = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError as error:
        raise WeightsError(f"README.md: expected YAML between --- lines; got: {error}.") from error
    if not found or not isinstance(front, dict):
        raise WeightsError("README.md: expected front matter between --- lines; got none; add it.")
    return front, found[2]


def faults(tree: Path) -> list[str]:
    """What the Hub, or this app on the Hub, would refuse in a folder: one sentence each."""
    try:
        front, _ = split((tree / "README.md").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [f"expected README.md in {tree}; got no such file; run it without --check."]
    except WeightsError as error:
        return [str(error)]
    return [*_front_faults(front, tree), *_requirement_faults(front, tree), *_file_faults(tree)]


def files(tree: Path) -> list[Path]:
    """The files of a tree relative to it, without its Git folder."""
    found = (p.relative_to(tree) for p in sorted(tree.rglob("*")) if p.is_file())
    return [path for path in found if path.parts[0] != ".git"]


def matches(name: str, pattern: str) -> bool:
    """Whether a Git attributes pattern covers a file; one without a slash covers every folder."""
    return fnmatch(name if "/" in pattern else name.rpartition("/")[2], pattern.lstrip("/"))


def _front_faults(front: Mapping[str, Any], tree: Path) -> list[str]:
    """Sentences for the keys of the front matter, each naming the key."""
    models, tags = front.get("models", []), front.get("tags", [])
    lines = front.get("preload_from_hub", [])
    checks = {
        "title": (_text(front.get("title")), "a text"),
        "emoji": (_is_emoji(front.get("emoji")), "one emoji"),
        "colorFrom": (front.get("colorFrom") in COLOURS, f"one of {', '.join(COLOURS)}"),
        "colorTo": (front.get("colorTo") in COLOURS, f"one of {', '.join(COLOURS)}"),
        "sdk": (front.get("sdk") == "gradio", "gradio"),
        "sdk_version": (_is_version(front.get("sdk_version")), "a version such as 6.31.0"),
        "python_version": (_is_python(front.get("python_version")), "a quoted 3.11 or later"),
        "app_file": (_is_file(front.get("app_file"), tree), "a file of the Space"),
        "license": (_is_licence(front.get("license")), "a licence identifier of the Hub"),
        "tags": (_texts(tags), "a list of texts"),
        "short_description": (_is_short(front.get("short_description", "")), "at most 60 letters"),
        "suggested_hardware": (
            front.get("suggested_hardware", "cpu-basic") in FLAVOURS, "a flavour of the Hub"
        ),
        "models": (
            _texts(models) and all(re.fullmatch(_REPO, m) for m in models), "a list of owner/name"
        ),
        "preload_from_hub": (
            _texts(lines) and all(_PRELOAD.fullmatch(line) for line in lines),
            "a list of `repo file1,file2 revision`",
        ),
    }  # fmt: skip
    wrong = [
        f"README.md: expected {expected} as {key}; got {front.get(key)!r}; correct it."
        for key, (right, expected) in checks.items()
        if not right
    ]
    unknown = sorted(set(front) - KEYS)
    wrong += [f"README.md: expected a key of the Hub; got {key!r}; remove it." for key in unknown]
    if front.get("license") == "other" and not _text(front.get("license_name")):
        wrong.append("README.md: expected license_name beside license: other; got none; add it.")
    return wrong


def _requirement_faults(front: Mapping[str, Any], tree: Path) -> list[str]:
    path = tree / "requirements.txt"
    if not path.is_file():
        return ["expected requirements.txt; got no such file; run it without --check."]
    lines = [line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    names = {re.split(r"[^\w.-]", line)[0].lower(): line for line in lines if line}
    wrong = []
    version = front.get("sdk_version")
    asked = re.sub(r"\[.*\]", "", names.get("gradio", f"gradio=={version}"))  # without extras
    if asked != f"gradio=={version}":
        wrong.append(
            f"requirements.txt: expected gradio=={version} as sdk_version says; got "
            f"{names['gradio']}; make them equal."
        )
    if front.get("suggested_hardware") == "zero-a10g":
        if "spaces" not in names:
            wrong.append("requirements.txt: expected spaces for ZeroGPU; got none; add it.")
        if names.get("torch") != ZERO_TORCH:
            wrong.append(
                f"requirements.txt: expected {ZERO_TORCH} for ZeroGPU; got {names.get('torch')}; "
                "take that range."
            )
    return wrong


def _file_faults(tree: Path) -> list[str]:
    attributes = tree / ".gitattributes"
    rules = attributes.read_text("utf-8").splitlines() if attributes.is_file() else []
    patterns = [rule.split()[0] for rule in rules if "filter=lfs" in rule.split()]
    wrong = []
    for path in files(tree):
        name, size = path.as_posix(), (tree / path).stat().st_size
        if size > LARGE and not any(matches(name, pattern) for pattern in patterns):
            wrong.append(
                f"{name}: expected Git LFS for {size} bytes, over {LARGE}; got no pattern for it "
                "in .gitattributes; add one."
            )
        if path.suffix in _PICKLES:
            wrong.append(f"{name}: expected safetensors only; got a pickle's suffix; remove it.")
        if path.parts[0] == "tests":
            wrong.append(f"{name}: expected no tests in a Space; got this file; remove it.")
    return wrong


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(_text(item) for item in value)


def _is_emoji(value: object) -> bool:
    """Whether every sign lies in the blocks of pictographs: no letter, digit or punctuation."""
    return _text(value) and all(ord(sign) >= 0x200D and not sign.isalnum() for sign in str(value))


def _is_licence(value: object) -> bool:
    return isinstance(value, str) and value in LICENCES


def _is_version(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d+\.\d+\.\d+", value) is not None


def _is_python(value: object) -> bool:
    found = re.fullmatch(r"3\.(\d+)(\.\d+)?", value) if isinstance(value, str) else None
    return found is not None and int(found[1]) >= 11


def _is_file(value: object, tree: Path) -> bool:
    return isinstance(value, str) and (tree / value).is_file()


def _is_short(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 60
