"""Pictures in and out of the pages: opening uploads, cropping, figure sheets, GIF and MP4.

Everything is a PIL picture. A box is (left, top, right, bottom) in fractions of the picture.
"""

from __future__ import annotations

import base64
import io
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
import numpy as np
from gradio import processing_utils
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

SIDE = 128  # what the networks of clay heads see
SMALLEST, LARGEST = 32, 8192  # pixels a side of an upload
SMALLEST_CROP = 0.05  # of a side

Box = tuple[float, float, float, float]


def refuse(message: str) -> gr.Error:
    """An error for the visitor, not for the log."""
    return gr.Error(message, title="That did not work", print_exception=False)


def keep_files_whole() -> None:
    """Make Gradio write the pictures it serves in one stroke.

    It names a file after the picture's bytes and, when the same picture is shown again, empties
    and refills that file, while another handler or browser may be reading it.
    """
    processing_utils.save_pil_to_cache = _save_whole


def _save_whole(img: Image.Image, cache_dir: str, name: str = "image", format: str = "webp") -> str:
    content = processing_utils.encode_pil_to_bytes(img, format)
    folder = Path(cache_dir, processing_utils.hash_bytes(content)).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{format}"
    if path.exists():
        path.touch()  # Gradio removes old files
    else:
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)
    return str(path)


def open_picture(path: str | Path) -> Image.Image:
    """An upload as an upright RGB picture; raises `gr.Error` saying what is wrong with it.

    Transparency is laid on white, 16 bits become 8, an animation gives its first frame: each is
    said in a warning on the page.
    """
    try:
        with Image.open(path) as file:
            _check_size(*file.size)
            if getattr(file, "n_frames", 1) > 1:
                gr.Warning("This picture is animated: only its first frame is used.")
            picture = ImageOps.exif_transpose(file)
            picture.load()
    except gr.Error:  # itself a ValueError
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise refuse(
            "This file is not a picture that can be opened. Use a PNG, JPEG or WebP file."
        ) from error
    except Image.DecompressionBombError as error:
        raise refuse(_size_message("far too many pixels")) from error
    return _rgb(picture)


def _check_size(width: int, height: int) -> None:
    if not (SMALLEST <= min(width, height) and max(width, height) <= LARGEST):
        raise refuse(_size_message(f"{width} x {height}"))


def _size_message(got: str) -> str:
    return (
        f"The picture must measure {SMALLEST} to {LARGEST} pixels a side; got {got}. "
        "Resize it, or crop it around the head."
    )


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        gr.Warning("This picture has more than 8 bits a channel: it was scaled down to 8.")
        return Image.fromarray(_eight_bits(np.asarray(picture, np.float64))).convert("RGB")
    if picture.has_transparency_data:
        gr.Warning("This picture is partly transparent: it was laid on white.")
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return picture.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = 65535.0 if values.max() > 255 else 255.0 if values.max() > 1 else 1.0
    return np.clip(values / top * 255.0, 0, 255).round().astype(np.uint8)


def squared(
    picture: Image.Image, x: float = 0.5, y: float = 0.5, zoom: float = 1.0, side: int = SIDE
) -> Image.Image:
    """The square that the networks see, RGB side x side: centre (x, y) in fractions, zoom >= 1.

    The square is as large as fits, divided by `zoom`, and is moved inside the picture.
    """
    width, height = picture.size
    length = min(width, height) / zoom
    left = min(max(x * width - length / 2, 0), width - length)
    top = min(max(y * height - length / 2, 0), height - length)
    box = (left, top, left + length, top + length)
    return picture.resize((side, side), Image.Resampling.LANCZOS, box=box)


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


def data_uri(picture: Image.Image) -> str:
    """A picture as a data URI, for pictures inside HTML."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


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
