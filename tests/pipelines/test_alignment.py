"""Face alignment: known squares, known transforms, mirrored borders, and the clay frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

import weights
from examples.clay.__main__ import PORTRAITS
from examples.clay.parts import CLASSES
from pipelines import alignment
from pipelines.alignment import CLAY, FFHQ, NoFace, NoFinder, align, find_faces, oriented_square
from tests.pipelines import tiny_yunet

# A face looking ahead: eyes 40 px apart, the mouth 44 px below them.
FACE = np.array([[180, 190], [220, 190], [200, 210], [188, 234], [212, 234]], np.float64)


def turned(points: np.ndarray, degrees: float, scale: float = 1, shift=(0, 0)) -> np.ndarray:
    """Points turned clockwise on the screen around the eyes' midpoint."""
    a = math.radians(degrees)
    turn = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    eyes = points[:2].mean(0)
    return (points - eyes) @ turn.T * scale + eyes + np.asarray(shift)


def sixty_eight(face: np.ndarray) -> np.ndarray:
    """68 points of which only eyes and mouth corners mean something; the rest would mislead."""
    points = np.full((68, 2), -900.0)
    ring = 4 * np.array([[math.cos(t), math.sin(t)] for t in np.arange(6) * math.pi / 3])
    points[36:42], points[42:48] = face[0] + ring, face[1] + ring
    points[48], points[54] = face[3], face[4]
    return points


def chart(width: int, height: int) -> Image.Image:
    """A smooth picture whose colours tell the place: red the column, green the row."""
    x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    return Image.fromarray(
        np.stack([x * 255, y * 255, np.full_like(x, 90)], -1).round().astype(np.uint8)
    )


def test_the_square_of_a_face_looking_ahead():
    """s = max(4 |x'|, 3.6 |y'|) = 160 around 4.4 px below the eyes, as Appendix C says."""
    expected = [(120, 114.4), (120, 274.4), (280, 274.4), (280, 114.4)]
    np.testing.assert_allclose(oriented_square(FACE), expected)
    long = FACE.copy()
    long[3:, 1] += 16  # 60 px from eyes to mouth: now 3.6 |y'| = 216 is the larger
    quad = oriented_square(long)
    np.testing.assert_allclose(quad[3] - quad[0], (216, 0))
    np.testing.assert_allclose(quad.mean(0), (200, 196))


@pytest.mark.parametrize("degrees", [-140, -30, 10, 90])
def test_the_square_turns_moves_and_grows_with_the_face(degrees):
    quad = oriented_square(turned(FACE, degrees, 1.7, (31, -12)))
    upright = oriented_square(FACE)
    eyes = FACE[:2].mean(0)
    five = np.concatenate([eyes[None]] * 2 + [upright])  # turned() turns around the first two
    np.testing.assert_allclose(quad, turned(five, degrees, 1.7, (31, -12))[2:], atol=1e-9)


def test_a_turned_head_averages_two_directions():
    """The mouth 10 px aside: halfway (by length) between the eyes' line and the face's."""
    aside = FACE + np.array([(0, 0)] * 3 + [(10, 0)] * 2)
    across = oriented_square(aside)[3] - oriented_square(aside)[0]
    np.testing.assert_allclose(across / np.hypot(*across), np.array([84, -10]) / np.hypot(84, 10))


def test_sixty_eight_points_give_the_square_of_five():
    np.testing.assert_allclose(oriented_square(sixty_eight(FACE)), oriented_square(FACE))


@pytest.mark.parametrize("degrees", [0, 25, -70])
def test_every_pixel_comes_from_its_place(degrees):
    picture, points = chart(400, 400), turned(FACE, degrees)
    found = align(picture, points, 128)
    got = np.asarray(found.image, np.float64)[..., :2] * 400 / 255
    v, u = (np.mgrid[:128, :128] + 0.5) / 128
    q = found.quad
    place = q[0] + u[..., None] * (q[3] - q[0]) + v[..., None] * (q[1] - q[0])
    assert np.abs(got - place)[4:-4, 4:-4].max() < 2.1  # one grey level is 1.57 px
    # Pillow rounds down: at most half a grey level (0.78 px here) darker, no shift beside it.
    assert -0.78 < (got - place).mean() < 0.1
    assert found.mirrored == 0 and not found.framed


def test_landmarks_land_where_the_frame_says():
    found = align(chart(400, 400), turned(FACE, 33), 256)
    placed = found.place(turned(FACE, 33))
    eyes, mouth = placed[:2].mean(0), placed[3:].mean(0)
    np.testing.assert_allclose(placed[1] - placed[0], (64, 0), atol=1e-9)  # a quarter of 256
    np.testing.assert_allclose(eyes, (127.5, 127.5 - 0.1 * 44 * 1.6), atol=1e-9)
    np.testing.assert_allclose(mouth - eyes, (0, 44 * 1.6), atol=1e-9)


def test_huge_faces_are_antialiased():
    """One-pixel stripes, 24 to an output pixel, become an even grey."""
    stripes = np.zeros((1600, 1600, 3), np.uint8)
    stripes[:, ::2] = 255
    found = align(Image.fromarray(stripes), turned(FACE, 12, 9, (600, 600)), 60)
    assert np.abs(np.asarray(found.image, np.float64) - 127.5).max() < 4


def test_tiny_faces_are_enlarged():
    found = align(chart(40, 40), (FACE - 200) / 8 + 20, 512)
    assert found.image.size == (512, 512)
    assert np.diff(np.asarray(found.image, int)[..., 0], axis=1).min() >= -1  # smooth, rising


def test_outside_is_mirrored_then_blurred_then_one_colour():
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8))
    face = FACE - (150, 120)
    found = align(noise, face, 160)
    assert found.mirrored == pytest.approx(1 - (130 / 160) * (154.4 / 160), abs=0.02)
    got = np.asarray(found.image, np.float64)
    # Left of the picture's edge, 30 px in: the pixels repeat backwards, less and less sharply.
    inside, near, far = (np.std(got[60:, c : c + 8]) for c in (70, 20, 0))
    assert inside > near > far
    assert np.abs(np.asarray(noise)[:].mean() - got[40:, :6].mean()) < 12
    still = np.asarray(align(noise, face + (140, 20), 160).image, np.float64)
    assert np.std(still[60:, :8]) > 0.8 * np.std(still[60:, 70:78])  # nothing blurred inside


def test_the_mirror_is_a_reflection():
    """A white line 10 px inside the edge comes back, fainter, 10 px outside it."""
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[:, 9:12] = 255
    found = align(Image.fromarray(pixels), FACE - (140, 0), 160)
    row = np.asarray(found.image, int)[100, :, 0]
    edge = found.place(np.array([[0.0, 100.0]]))[0, 0]
    inside, outside = row[round(edge) + 1 :], row[: round(edge)][::-1]
    assert abs(int(inside.argmax()) - int(outside.argmax())) <= 2
    assert inside.max() > 200 and 20 < outside.max() < 150  # blurred, and paler further out


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA", "I;16"])
def test_other_modes(mode):
    grey = chart(400, 400).convert("L")
    picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else (
        grey.convert(mode)
    )  # fmt: skip
    found = align(picture, FACE, 64).image
    assert found.mode == "RGB" and found.size == (64, 64)
    assert np.abs(np.asarray(found, int) - np.asarray(align(grey, FACE, 64).image, int)).max() <= 1


def test_a_camera_that_was_turned():
    """Orientation 6: stored lying on its side; landmarks are those of the upright picture."""
    upright = chart(400, 300)
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    lying.getexif()[0x0112] = 6
    face = FACE - (0, 40)
    got, expected = align(lying, face, 64), align(upright, face, 64)
    assert got.image.tobytes() == expected.image.tobytes()


def test_an_aligned_picture_is_known_as_framed():
    crop = align(chart(400, 400), turned(FACE, 20), 256)
    again = align(crop.image, crop.place(turned(FACE, 20)), 256)
    assert again.framed and np.hypot(*(again.quad[0] - (-0.5, -0.5))) < 1e-6


@pytest.mark.parametrize(
    ("landmarks", "size", "words"),
    [
        (FACE[:4], 64, r"5 or 68 finite points .* got shape \(4, 2\)"),
        (FACE * np.nan, 64, "10 numbers that are not finite"),
        (np.zeros((5, 2)), 64, "cancel out"),
        (FACE + 500, 64, r"must lie in the picture of 400 x 400 px; got a face around \(700, 69"),
        (FACE / 100 + 100, 64, "must measure 8 px or more; got 1.6"),
        (FACE, 8, "16..2048 px; got 8"),
    ],
)
def test_bad_input_says_what_is_wrong(landmarks, size, words):
    with pytest.raises(ValueError, match=words):
        align(chart(400, 400), landmarks, size)
    with pytest.raises(ValueError, match="one of ffhq, .* got 'lsun-car'"):
        alignment.frame_of("lsun-car")


def clay_landmarks() -> np.ndarray:
    """Five points, in fractions, of the shipped portraits that show both eyes and the mouth."""
    found = []
    for path in sorted(PORTRAITS.glob("*-mask.png")):
        mask = np.array(Image.open(path))
        parts = [np.isin(mask, [CLASSES.index(name) for name in names]) for names in (
            ("l_eye",), ("r_eye",), ("nose",), ("mouth", "u_lip", "l_lip"),
        )]  # fmt: skip
        if all(part.sum() >= 6 for part in parts):
            *centres, lips = [np.argwhere(part)[:, ::-1] + 0.5 for part in parts]
            x = lips[:, 0]
            corners = [lips[x == end].mean(0) for end in (x.min(), x.max())]
            found.append(np.stack([*(c.mean(0) for c in centres), *corners]) / len(mask))
    return np.array(found)


def test_the_clay_frame_puts_faces_where_clay_has_them():
    """Re-measures CLAY: mean places of eyes and mouth after alignment, against the portraits'."""
    faces = clay_landmarks()
    assert len(faces) > 30
    aligned = []
    for face in faces:
        quad = oriented_square(face, CLAY)
        axes = np.stack([quad[3] - quad[0], quad[1] - quad[0]])
        aligned.append((face - quad[0]) @ axes.T / (axes**2).sum(1))
    aligned = np.array(aligned)
    for points in (slice(0, 2), slice(3, 5)):
        expected, got = faces[:, points].mean((0, 1)), aligned[:, points].mean((0, 1))
        assert np.abs(got - expected).max() < 0.01
    sides = [np.hypot(*np.diff(oriented_square(face, CLAY)[[0, 3]], axis=0)[0]) for face in faces]
    assert abs(np.mean(sides) - 1) < 0.015 and np.std(sides) < 0.07
    # FFHQ's own frame would show clay heads much smaller.
    assert np.mean([np.hypot(*(q[3] - q[0])) for q in map(oriented_square, faces)]) < 0.95


@pytest.fixture
def finder(tmp_path, monkeypatch):
    """OpenCV's YuNet on a tiny file: a white 8 px cell is a face with eyes 40 px apart."""
    points = (FACE - FACE[:2].mean(0)) / 8 + 0.5
    path = tiny_yunet.write(tmp_path / "tiny.onnx", points, 12.0)
    monkeypatch.setattr(weights, "fetch", lambda name: path)
    alignment.yunet.cache_clear()
    yield alignment.yunet()
    alignment.yunet.cache_clear()


def dotted(size: tuple[int, int], *cells: tuple[int, int], dot: int = 8) -> Image.Image:
    """A black picture with white dots: dot (i, j) covers the pixels from (i, j) * `dot`."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    for i, j in cells:
        pixels[j * dot : (j + 1) * dot, i * dot : (i + 1) * dot] = 255
    return Image.fromarray(pixels)


def test_find_faces_reads_opencvs_yunet(finder):
    faces = find_faces(dotted((640, 480), (20, 15), (60, 40)))
    eyes = sorted(tuple(face.landmarks[:2].mean(0)) for face in faces)
    np.testing.assert_allclose(eyes, [(164, 124), (484, 324)], atol=0.01)
    face = faces[0]
    np.testing.assert_allclose(face.landmarks - face.landmarks[:2].mean(0), FACE - (200, 190))
    assert face.box[2] - face.box[0] == pytest.approx(96) and face.score == pytest.approx(1)


def test_points_of_a_reduced_picture_are_in_its_own_pixels(finder):
    (face,) = find_faces(dotted((1920, 1200), (20, 15), dot=24))
    np.testing.assert_allclose(face.landmarks[:2].mean(0), (493, 373), atol=0.01)  # 3 * 164.5 - .5
    assert np.hypot(*(face.landmarks[1] - face.landmarks[0])) == pytest.approx(120)


def found_row(face: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    """What YuNet returns for one face: box by corner and size, points, score."""
    return np.concatenate([box, face.ravel(), [0.95]]).astype(np.float32)[None]


def test_close_ups_are_found_in_the_small_picture_and_come_first():
    """Each long side finds another face: 40 px wide at 640 px, and 200 px wide at 256 px."""
    answers = iter([found_row(FACE, (20, 20, 40, 50)), found_row(FACE, (30, 30, 200, 210))])
    large, small = find_faces(chart(1280, 1280), lambda pixels: next(answers))
    assert large.box == pytest.approx((150, 150, 1150, 1200))
    assert small.box == pytest.approx((40, 40, 120, 140))
    np.testing.assert_allclose(large.landmarks, (FACE + 0.5) * 5 - 0.5)


def test_no_face_and_no_finder_are_said(finder, monkeypatch):
    with pytest.raises(NoFace, match="must show a face; got a picture of 320 x 200 px"):
        find_faces(Image.new("RGB", (320, 200)))

    def missing(name):
        raise weights.Offline(f"{name}: got neither the file nor a connection")

    monkeypatch.setattr(weights, "fetch", missing)
    alignment.yunet.cache_clear()
    with pytest.raises(NoFinder, match="faces/yunet: got neither the file nor a connection"):
        find_faces(chart(64, 64))


def test_overlapping_finds_are_one_face():
    rows = found_row(FACE, (100, 100, 80, 90))
    answers = iter([rows, np.concatenate([rows[:, :14] * 256 / 600, rows[:, 14:]], 1)])
    (face,) = find_faces(chart(600, 500), lambda pixels: next(answers))
    assert face.score == pytest.approx(0.95) and next(answers, None) is None
    assert align(chart(600, 500), face.landmarks, 64, FFHQ).image.size == (64, 64)
