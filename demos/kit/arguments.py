"""What the documented functions take: each kind of argument reads what a client sent, or says why
not.

A client may send anything: None, text, NaN, lists, numbers without end. A kind is put beside the
type that is documented, `Annotated[int, Whole(1, 300)]`; the function gets what its `read` returns.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypedDict
from urllib.parse import unquote

from gradio import processing_utils
from gradio_client.utils import is_file_obj_with_meta
from PIL import Image

from demos.kit.downloads import folder_for_sent
from demos.kit.imaging import GONE, open_picture

MOST_BYTES = 10_000_000  # of a file inside the call, as of an upload
MOST_STEPS = 300
MOST_NAMES = 40
_SHOWN = 60  # letters of a bad value that its error repeats
_HERE = "/gradio_api/file="


class _Meta(TypedDict):
    _type: Literal["gradio.FileData"]


class File(TypedDict):
    """A file as Gradio's clients send and get it."""

    path: str
    meta: _Meta


def as_file(path: Path) -> File:
    """A file of this machine, to be handed out."""
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


class Kind(Protocol):
    """words: what is expected, as documentation and errors say it. read: ValueError otherwise."""

    @property
    def words(self) -> str: ...

    def read(self, name: str, value: Any) -> Any: ...


def expected(name: str, words: str, got: Any) -> ValueError:
    """The error of an argument that is not what it must be."""
    shown = repr(got)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]} ..."
    return ValueError(f"{name} must be {words}; got {shown}. Correct it and call again.")


@dataclass(frozen=True)
class Whole:
    """A whole number from low to high."""

    low: int
    high: int

    @property
    def words(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def read(self, name: str, value: Any) -> int:
        number = _number(value)
        if number is None or number != int(number) or not self.low <= number <= self.high:
            raise expected(name, self.words, value)
        return int(number)


@dataclass(frozen=True)
class Real:
    """A finite number from low to high."""

    low: float
    high: float

    @property
    def words(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def read(self, name: str, value: Any) -> float:
        number = _number(value)
        if number is None or not self.low <= number <= self.high:
            raise expected(name, self.words, value)
        return float(number)


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    options: Sequence[str]

    @property
    def words(self) -> str:
        return f"one of {', '.join(self.options)}"

    def read(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in self.options:
            raise expected(name, self.words, value)
        return value


@dataclass(frozen=True)
class Text:
    """A text, maybe an empty one; spaces count once."""

    most: int

    @property
    def words(self) -> str:
        return f"a text of at most {self.most} characters"

    def read(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or len(value) > self.most:
            raise expected(name, self.words, value)
        return " ".join(value.split())


@dataclass(frozen=True)
class Numbers:
    """Finite numbers by name, none for None; names and ranges are the pipeline's to check."""

    example: str

    @property
    def words(self) -> str:
        return f"an object of numbers by name, such as {self.example}"

    def read(self, name: str, value: Any) -> dict[str, float]:
        value = {} if value is None else value
        if not isinstance(value, Mapping) or len(value) > MOST_NAMES:
            raise expected(name, self.words, value)
        for key, number in value.items():
            if not isinstance(key, str) or _number(number) is None:
                raise expected(name, self.words, {key: number})
        return {key: float(number) for key, number in value.items()}


@dataclass(frozen=True)
class Names:
    """A list of names; None counts as an empty one."""

    words: str = "a list of names"

    def read(self, name: str, value: Any) -> tuple[str, ...]:
        listed = [] if value is None else value
        if not isinstance(listed, list) or len(listed) > MOST_NAMES:
            raise expected(name, self.words, value)
        if not all(isinstance(item, str) for item in listed):
            raise expected(name, self.words, value)
        return tuple(dict.fromkeys(listed))


@dataclass(frozen=True)
class Maybe:
    """What another kind takes, or None."""

    kind: Kind

    @property
    def words(self) -> str:
        return f"{self.kind.words}, or null"

    def read(self, name: str, value: Any) -> Any:
        return None if value is None else self.kind.read(name, value)


@dataclass(frozen=True)
class Picture:
    """A picture file, read as an upright RGB picture."""

    words: str = "a picture: a file, its address or a data URI"

    def read(self, name: str, value: Any) -> Image.Image:
        return open_picture(_path(name, self.words, value))


@dataclass(frozen=True)
class PictureOrLatent:
    """A picture, or the path of a latent file: safetensors, whose header says so."""

    words: str = "a picture or a latent file: a file, its address or a data URI"

    def read(self, name: str, value: Any) -> Image.Image | Path:
        path = _path(name, self.words, value)
        return path if _is_latent(path) else open_picture(path)


@dataclass(frozen=True)
class NameOrFile:
    """A name, or the path of a file."""

    words: str

    def read(self, name: str, value: Any) -> str | Path:
        if isinstance(value, str) and not _is_address(value):
            return value
        return _path(name, self.words, value)


PictureIn = Annotated[File | str, Picture()]
SubjectIn = Annotated[File | str, PictureOrLatent()]
Steps = Annotated[int, Whole(1, MOST_STEPS)]


def _number(value: Any) -> int | float | None:
    """A finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 1e18 and math.isfinite(value) else None


def _is_address(value: str) -> bool:
    return value.startswith(("data:", "http://", "https://"))


def _path(name: str, words: str, value: Any) -> Path:
    """A sent file on this machine. Gradio has seen to it that a `File` is an upload of a visitor;
    an address may be of a file that this app handed out before."""
    if is_file_obj_with_meta(value):
        path = Path(value["path"])
    elif isinstance(value, str) and value.startswith("data:"):
        path = _inline(name, words, value)
    elif isinstance(value, str) and _is_address(value):
        path = _handed_out(value) or _fetched(name, value)
    else:
        cure = "" if not isinstance(value, str) else " In Python, wrap a path in handle_file()."
        error = expected(name, words, value)
        raise ValueError(f"{error}{cure}")
    if not path.is_file():
        raise ValueError(f"{name}: {GONE}")
    return path


def _inline(name: str, words: str, value: str) -> Path:
    """The file of a data URI."""
    head, _, body = value.partition(",")
    if not head.endswith(";base64") or len(body) * 3 / 4 > MOST_BYTES:
        what = f"{words}, in base64 and at most {MOST_BYTES / 1e6:g} MB large"
        raise expected(name, what, value)
    try:
        content = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise expected(name, f"{words}, in base64", value) from error
    path = folder_for_sent() / "sent"
    path.write_bytes(content)
    return path


def _handed_out(address: str) -> Path | None:
    """The file that an address of this app stands for, None for an address from elsewhere.

    Gradio fetches no address of this machine or its network, hence not its own.
    """
    folder = Path(processing_utils.utils.get_upload_folder()).resolve()
    path = Path(unquote(address.partition(_HERE)[2].partition("?")[0])).resolve()
    return path if _HERE in address and path.is_relative_to(folder) and path.is_file() else None


def _fetched(name: str, address: str) -> Path:
    """A public file, by Gradio's own download, which refuses addresses inside this network."""
    folder = processing_utils.utils.get_upload_folder()
    try:
        return Path(processing_utils.ssrf_protected_download(address, folder))
    except Exception as error:
        raise ValueError(
            f"{name}: {address[:_SHOWN]} could not be fetched ({error}). Use a public address, or "
            "send the file itself."
        ) from error


def _is_latent(path: Path) -> bool:
    """Whether a file begins as safetensors do: eight bytes of length, then JSON."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"
