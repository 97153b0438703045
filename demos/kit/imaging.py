"""Pictures in and out of the pages: opening uploads, cropping, figure sheets, GIF and MP4.

Everything is a PIL picture. A box is (left, top, right, bottom) in fractions of the picture.
"""

from __future__ import annotations

import base64
import functools
import io
import math
import os
import secrets
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio import processing_utils
from PIL import ExifTags, Image, ImageDraw, ImageFont, UnidentifiedImageError

from demos import holding

SIDE = 128  # what the networks of clay heads see
Image.init()
_PLAIN = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")  # none runs another program
FORMATS = tuple(name for name in _PLAIN if name in Image.OPEN)  # AVIF is not built everywhere
SMALLEST = 32  # pixels a side of an upload
MOST_PIXELS = 80_000_000  # of an upload: more may be a bomb
MOST_BYTES = 205_000_000  # that decoding may take; an upload costs 300 MB with all that follows
KEPT, KEPT_OF_MANY = 2048, 1024  # pixels a side that stay of an upload, and of one of several
GONE = "The upload is no longer here: files are kept for an hour. Upload the picture again."
SMALLEST_CROP = 0.05  # of a side
_BYTES_A_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}  # others: 4
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_decoding = threading.Lock()  # one upload at a time: two would take the memory of two

Box = tuple[float, float, float, float]


def refuse(message: str) -> gr.Error:
    """An error for the visitor, not for the log."""
    return gr.Error(message, title="That did not work", print_exception=False)


def keep_files_whole() -> None:
    """Make Gradio write the pictures it serves in one stroke, under names of the next app's own.

    It names a file after its bytes and, when the same picture is shown again, empties and refills
    that file, while another handler or browser may be reading it. An app that ends removes what it
    made, and with it the same picture of another app, which may still be shown.
    """
    processing_utils.save_pil_to_cache = _save_whole
    processing_utils.hash_seed = secrets.token_bytes(16)


def _save_whole(img: Image.Image, cache_dir: str, name: str = "image", format: str = "webp") -> str:
    content = _encoded(img, format)
    room = holding.handed_out(cache_dir)
    path = room / processing_utils.hash_bytes(content) / f"{name}.{format}"
    with holding.TOUCHING:
        if path.exists():
            path.touch()  # old files are removed
            return str(path)
    with tempfile.NamedTemporaryFile(dir=room, prefix=secrets.token_hex(8), delete=False) as file:
        file.write(content)
    with holding.TOUCHING:
        path.parent.mkdir(exist_ok=True)
        os.replace(file.name, path)
    return str(path)


def _encoded(img: Image.Image, format: str) -> bytes:
    """The bytes of a picture's file; a PNG in the quickest of its ways, which is as lossless."""
    if format.lower() != "png":
        return processing_utils.encode_pil_to_bytes(img, format)
    buffer = io.BytesIO()
    img.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def open_picture(path: str | Path, keep: int = KEPT) -> Image.Image:
    """An upload as an upright RGB picture of at most `keep` px a side; raises `gr.Error` otherwise.

    A file is decoded once, piece by piece, within MOST_BYTES of memory. Transparency is laid on
    white, 16 bits become 8, an animation gives its first frame: each is said in a warning.
    """
    try:
        told = os.stat(path)
        picture, warnings = _opened(str(path), told.st_mtime_ns, told.st_size, keep)
    except gr.Error:  # itself a ValueError
        raise
    except Image.DecompressionBombError as error:
        raise refuse(_size_message("far too many pixels")) from error
    except FileNotFoundError as error:
        raise refuse(GONE) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise refuse(
            "This file is not a picture that can be opened. Use a PNG, JPEG or WebP file."
        ) from error
    for words in warnings:
        gr.Warning(words)
    return picture.copy()


@functools.lru_cache(maxsize=4)  # one picture goes to several handlers, one after another
def _opened(path: str, time: int, size: int, keep: int) -> tuple[Image.Image, tuple[str, ...]]:
    """The picture, and what to say about it; time, size: of the file, so that it may change."""
    with _decoding, Image.open(path, formats=FORMATS) as file:
        warnings = []
        width, height = file.size
        share = min(1.0, keep / max(file.size))
        if share * min(width, height) < SMALLEST or width * height > MOST_PIXELS:
            raise refuse(_size_message(f"{width} x {height}"))
        if getattr(file, "n_frames", 1) > 1 and file.format != "MPO":  # that is a phone's JPEG
            warnings.append("This picture is animated: only its first frame is used.")
        # JPEG alone can be decoded smaller, by 2, 4 or 8.
        file.draft(None, tuple(math.ceil(side * share) for side in file.size))
        if (need := _bytes_to_decode(file, width * height)) > MOST_BYTES:
            raise refuse(
                f"This {file.format} of {width} x {height} pixels takes {need / 1e6:.0f} MB to "
                f"open; {MOST_BYTES / 1e6:.0f} MB are the most. Make it smaller, or save it as "
                "an ordinary JPEG."
            )
        turn = _UPRIGHT.get(file.getexif().get(ExifTags.Base.Orientation))
        if file.mode.startswith(("I", "F")):
            warnings.append("This picture has more than 8 bits a channel: it was scaled down to 8.")
        picture = _reduced(file, max(1, max(file.size) // keep))
    picture.thumbnail((keep, keep), Image.Resampling.LANCZOS)
    if picture.mode == "RGBA":
        if picture.getextrema()[3][0] < 255:
            warnings.append("This picture is partly transparent: it was laid on white.")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
    return picture if turn is None else picture.transpose(turn), tuple(warnings)


def _bytes_to_decode(file: Image.Image, pixels: int) -> int:
    """Bytes of memory that a file, opened and not yet decoded, takes when it is; pixels: its own,
    of which a JPEG gives fewer."""
    decoded = file.width * file.height * _BYTES_A_PIXEL.get(file.mode, 4)
    if file.format in ("WEBP", "AVIF"):
        return pixels * 16  # two canvases, their bytes, and the picture
    if file.format == "TIFF":
        return 2 * decoded  # a strip may be the whole picture
    if file.info.get("progressive"):
        # All coefficients, two bytes each, are held until the last scan.
        across, down = (max(layer[i] for layer in file.layer) for i in (1, 2))
        share = sum(layer[1] * layer[2] for layer in file.layer) / (across * down)
        return decoded + round(2 * share * pixels)
    return decoded


def _reduced(file: Image.Image, factor: int) -> Image.Image:
    """The picture in RGB, RGBA where it may be transparent: a mean of factor x factor pixels each.

    A strip at a time: what is converted is four times larger, or more.
    """
    mode = "RGBA" if file.has_transparency_data else "RGB"
    size = tuple(math.ceil(side / factor) for side in file.size)
    small, top = Image.new(mode, size), _top(file)
    for box in _strips(file, factor):
        strip = file.crop(box)
        if top is not None:
            strip = Image.fromarray(_eight_bits(np.asarray(strip), top))
        strip = strip.convert(mode)
        small.paste(strip.reduce(factor) if factor > 1 else strip, (0, box[1] // factor))
    return small


def _strips(file: Image.Image, factor: int) -> Iterator[tuple[int, int, int, int]]:
    """Boxes of about a million pixels from top to bottom, each a multiple of `factor` rows."""
    rows = factor * max(1, 1_000_000 // (file.width * factor))
    for top in range(0, file.height, rows):
        yield 0, top, file.width, min(top + rows, file.height)


def _top(file: Image.Image) -> float | None:
    """The value of white, by the largest one, where there are more than 8 bits; else None."""
    if not file.mode.startswith(("I", "F")):
        return None
    strips = (np.asarray(file.crop(box)) for box in _strips(file, 1))
    largest = max(_finite(strip).max() for strip in strips)
    return 65535.0 if largest > 255 else 255.0 if largest > 1 else 1.0


def _eight_bits(values: np.ndarray, top: float) -> np.ndarray:
    return np.clip(_finite(values) * (255.0 / top), 0, 255).round().astype(np.uint8)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def _size_message(got: str) -> str:
    return (
        f"The picture must measure {SMALLEST} pixels a side or more, and {MOST_PIXELS / 1e6:.0f} "
        f"million pixels at most; got {got}. Resize it, or crop it around the head."
    )


def squared(
    picture: Image.Image,
    x: float = 0.5,
    y: float = 0.5,
    zoom: float = 1.0,
    side: int = SIDE,
    resample: Image.Resampling = Image.Resampling.LANCZOS,
) -> Image.Image:
    """The square that the networks see, RGB side x side: centre (x, y) in fractions, zoom >= 1.

    The square is as large as fits, divided by `zoom`, and is moved inside the picture. Labels must
    be resampled by their nearest pixel.
    """
    width, height = picture.size
    length = min(width, height) / zoom
    left = min(max(x * width - length / 2, 0), width - length)
    top = min(max(y * height - length / 2, 0), height - length)
    box = (left, top, left + length, top + length)
    return picture.resize((side, side), resample, box=box)


def crop_box(x: float, y: float, width: float, height: float) -> Box:
    """The part inside the picture of a crop with centre (x, y); raises `gr.Error` when empty."""
    if not all(math.isfinite(v) for v in (x, y, width, height)):
        raise refuse("The crop must be four finite numbers. Move its sliders once.")
    box = (
        max(x - width / 2, 0.0),
        max(y - height / 2, 0.0),
        min(x + width / 2, 1.0),
        min(y + height / 2, 1.0),
    )
    if box[2] - box[0] < SMALLEST_CROP or box[3] - box[1] < SMALLEST_CROP:
        raise refuse(
            f"The crop is empty: less than {SMALLEST_CROP:.0%} of the picture's side lies "
            "inside it. Make it larger or move it into the picture."
        )
    return box


def pasted(target: Image.Image, context: Image.Image, box: Box) -> Image.Image:
    """The crop of the target pasted on the context: what the encoder will be shown."""
    left, top, right, bottom = (round(v * target.width) for v in box)
    stitched = context.copy()
    stitched.paste(target.crop((left, top, right, bottom)), (left, top))
    return stitched


def row(pictures: Sequence[Image.Image], gap: int = 8) -> Image.Image:
    """Pictures of one size side by side, on transparent ground."""
    width, height = pictures[0].size
    sheet = Image.new("RGBA", (len(pictures) * (width + gap) - gap, height), (0, 0, 0, 0))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i * (width + gap), 0))
    return sheet


def sheet(
    rows: Sequence[Sequence[Image.Image | None]],
    columns: Sequence[str] = (),
    names: Sequence[str] = (),
    side: int = 160,
    gap: int = 8,
) -> Image.Image:
    """A labelled figure on transparent ground: rows of pictures, a label a column and a row.

    A missing picture (None) leaves its place empty. Labels are mid grey: legible on light and
    on dark pages.
    """
    head = 28 if columns else 0
    margin = 116 if names else 0
    across = max(len(r) for r in rows)
    size = (margin + across * (side + gap) - gap, head + len(rows) * (side + gap) - gap)
    figure = Image.new("RGBA", size, (0, 0, 0, 0))
    draw, font = ImageDraw.Draw(figure), ImageFont.load_default(15)
    for j, label in enumerate(columns):
        draw.text((margin + j * (side + gap), 4), label, fill="#7d8581", font=font)
    for i, pictures in enumerate(rows):
        top = head + i * (side + gap)
        if names:
            draw.multiline_text((0, top + 4), names[i], fill="#7d8581", font=font, spacing=5)
        for j, picture in enumerate(pictures):
            if picture is not None:
                tile = picture.resize((side, side), Image.Resampling.BICUBIC)
                figure.paste(tile, (margin + j * (side + gap), top))
    return figure


def psnr(a: Image.Image, b: Image.Image, where: np.ndarray | None = None) -> float:
    """Of two RGB pictures of one size, in dB; infinite when they are equal.

    where: the pixels that count, bool (H, W), some of them; all without it.
    """
    error = np.square(np.asarray(a, float) - np.asarray(b, float))
    error = float(error.mean() if where is None else error[where].mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def data_uri(picture: Image.Image, format: str = "PNG", **options: Any) -> str:
    """A picture as a data URI, for pictures inside HTML; options: of the format."""
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    content = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{format.lower()};base64,{content}"


def there_and_back(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """A loop without a jump: the frames forwards, then backwards, ends shown once."""
    return [*frames, *frames[-2:0:-1]]


def save_gif(frames: Sequence[Image.Image], path: Path, seconds: float = 0.12) -> Path:
    """An endless GIF."""
    loop = there_and_back([frame.convert("RGB") for frame in frames])
    loop[0].save(
        path, save_all=True, append_images=loop[1:], duration=round(seconds * 1000), loop=0
    )
    return path


def save_mp4(frames: Sequence[Image.Image], path: Path, seconds: float = 0.12) -> Path:
    """An H.264 film, played forwards and backwards three times."""
    from imageio_ffmpeg import write_frames  # its ffmpeg comes inside the wheel

    loop = there_and_back([frame.convert("RGB") for frame in frames]) * 3
    film = write_frames(str(path), loop[0].size, fps=1 / seconds, macro_block_size=2, quality=8)
    film.send(None)
    for frame in loop:
        film.send(np.ascontiguousarray(frame))
    film.close()
    return path
