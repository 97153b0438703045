"""Pictures a visitor may bring: every ordinary kind is read, every other is refused in words."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.images import as_images, as_rgb, as_tensor


def test_bytes_survive_the_round_trip() -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    assert np.array_equal(np.asarray(as_images(as_tensor(image, 64))[0]), pixels)


def test_values_beyond_the_range_are_clipped() -> None:
    (image,) = as_images(torch.full((1, 3, 2, 2), 7.0))
    assert image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV"])
def test_ordinary_modes(mode: str) -> None:
    image = Image.new("RGB", (40, 40), "white").convert(mode)
    assert min(as_rgb(image).getpixel((5, 5))) >= 250


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_becomes_white(mode: str) -> None:
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0)).convert(mode)
    assert as_rgb(clear).getpixel((3, 3)) == (255, 255, 255)


def test_a_transparent_palette_colour_becomes_white() -> None:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.info["transparency"] = 0
    assert as_rgb(image).getpixel((3, 3)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_sixteen_bits_are_scaled(mode: str) -> None:
    image = Image.fromarray(np.full((40, 40), 32896, np.uint16)).convert(mode)
    assert as_rgb(image).getpixel((3, 3)) == (128, 128, 128)


def test_a_film_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    film = Image.open(file)
    film.seek(1)
    assert as_rgb(film).getpixel((3, 3)) == (255, 0, 0)


def test_the_camera_is_turned_back() -> None:
    image = Image.new("RGB", (60, 40), "red")
    exif = image.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)
    assert as_rgb(Image.open(file)).size == (40, 60)


def test_the_middle_of_a_wide_picture_is_taken() -> None:
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, 40:80] = 255
    assert as_tensor(Image.fromarray(pixels), 40).min() == 1


@pytest.mark.parametrize("size", [(1, 1), (31, 200), (8193, 40)])
def test_impossible_sizes(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="32 to 8192 px"):
        as_rgb(Image.new("RGB", size))


def test_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="PIL"):
        as_rgb(np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(ValueError, match="mode F"):
        as_rgb(Image.new("F", (40, 40)))
    with pytest.raises(ValueError, match="65535"):
        as_rgb(Image.new("I", (40, 40), 70000))


def test_a_damaged_file_is_refused() -> None:
    file = io.BytesIO()
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    half = Image.open(io.BytesIO(file.getvalue()[:4000]))
    with pytest.raises(ValueError, match="whole file"):
        as_rgb(half)
