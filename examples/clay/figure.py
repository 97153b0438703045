"""From portrait parameters to the measures of a figure: sizes, places and colours, once a portrait.

A figure is one record of `FIGURE`: every parameter by name, what follows from it in head units
(x to the right of the picture, y up, z towards the viewer; the eyes are near y = 0), and colours
in linear light as `<name>_r`, `<name>_g`, `<name>_b`.
"""

from __future__ import annotations

import numpy as np

from examples.clay.parameters import INDEX, NAMES


def linear(srgb) -> np.ndarray:
    """Linear light of sRGB values in [0, 1]."""
    srgb = np.asarray(srgb, np.float64)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _ramp(*colors) -> np.ndarray:
    return linear(np.asarray(colors, np.float64) / 255)


_SKIN = _ramp(
    (247, 210, 188), (236, 190, 160), (220, 166, 128), (192, 136, 98), (142, 92, 64), (88, 56, 42)
)
_EYE = _ramp(
    (62, 36, 20), (112, 66, 32), (140, 112, 56), (84, 134, 82), (70, 130, 190), (134, 148, 160)
)
_HAIR = _ramp(
    (30, 26, 28), (66, 42, 30), (112, 72, 44), (128, 56, 32), (214, 168, 96), (188, 82, 34),
    (226, 222, 214), (58, 108, 196), (232, 126, 170),
)  # fmt: skip


def hsv(hue, saturation, value) -> np.ndarray:
    """Linear light (n, 3) of hues in turns, saturations and values in [0, 1]."""
    phase = (np.stack([hue, hue + 2 / 3, hue + 1 / 3], -1) % 1.0) * 6
    pure = np.clip(np.abs(phase - 3) - 1, 0, 1)
    return linear(value[:, None] * (1 - saturation[:, None] * (1 - pure)))


def _between(table: np.ndarray, t: np.ndarray) -> np.ndarray:
    x = np.clip(t, 0, 1) * (len(table) - 1)
    i = np.minimum(x.astype(int), len(table) - 2)
    return table[i] + (table[i + 1] - table[i]) * (x - i)[:, None]


def _skull(p: dict) -> dict:
    width, long = 1 + 0.048 * p["face_width"], 1 + 0.042 * p["face_length"]
    full = p["fullness"]
    return {
        "wide": width,
        "long": long,
        "cran_x": 0.70 * width,
        "cran_y": 0.77 + 0.022 * p["forehead"],
        "face_x": (0.578 + 0.028 * full) * width,
        "face_y": -0.25 * long,
        "face_ry": 0.70 * long,
        "jaw_x": (0.415 + 0.048 * p["jaw_width"] + 0.040 * full) * width,
        "jaw_y": -0.60 * long,
        "jaw_ry": 0.31 + 0.016 * full,
        "chin_y": -0.84 * long - 0.06 * p["mouth_open"] - 0.012 * p["chin_size"],
        "chin_r": 0.155 + 0.026 * p["chin_size"] + 0.008 * full,
        "cheek_x": 0.355 * width,
        "cheek_y": -0.27 * long + 0.045 * p["cheek_raise"],
        "cheek_r": 0.19 + 0.015 * p["cheekbones"] + 0.028 * full + 0.02 * p["cheek_raise"],
        "cheek_z": 0.375 + 0.018 * p["cheekbones"],
        "brow_ridge": 0.035 + 0.010 * p["age"],
        "sag": np.clip((p["age"] - 0.45) / 0.55, 0, 1),
    }


def _covered(p: dict) -> np.ndarray:
    """How much hair lies over the ears and presses them to the head, 0 to 1."""
    return np.clip((p["hair_length"] - 0.38) / 0.08, 0, 1)


def _features(p: dict, s: dict) -> dict:
    size = 1 + 0.080 * p["eye_size"]
    smile, open_, round_ = p["smile"], p["mouth_open"], p["mouth_round"]
    mouth_w = (
        0.225 * (1 + 0.078 * p["mouth_width"])
        + 0.055 * smile
        - 0.060 * round_
        - 0.01 * p["mouth_frown"]
    )
    eye_x = 0.292 + 0.020 * p["eye_spacing"]
    lip = 1 + 0.21 * p["lip_fullness"] - 0.2 * s["sag"]
    nose_y = -0.335 * (0.45 + 0.55 * s["long"]) - 0.021 * p["nose_length"]
    mouth_y = -0.590 * s["long"] - 0.018 * p["mouth_height"] + 0.01 * smile
    return {
        "eye_x": eye_x,
        "eye_z": np.full_like(size, 0.375),
        "eye_r": 0.222 * (0.6 + 0.4 * size),
        "eye_w": 0.163 * size,
        "eye_up": 0.108 * size * p["lid_open"] * (1 - 0.18 * s["sag"]),
        "eye_low": 0.070
        * size
        * np.minimum(1, 0.25 + p["lid_open"])
        * (1 - 0.22 * p["cheek_raise"]),
        "tilt": np.tan(np.radians(3.8 * p["eye_tilt"] + 3.0)),
        "iris": 0.086 * (0.5 + 0.5 * size),
        "brow_y": 0.207
        + 0.021 * p["brow_height"]
        + 0.07 * p["brow_raise"]
        - 0.012 * p["brow_knit"],
        "brow_h": 0.020 + 0.024 * p["brow_thickness"],
        "brow_bend": 0.028 + 0.075 * p["brow_arch"] + 0.02 * p["brow_raise"],
        "nose_y": nose_y,
        "nose_z": 0.765 + 0.012 * p["nose_tip"] + 0.008 * p["nose_length"],
        "nose_r": 0.092 + 0.007 * p["nose_tip"],
        "ala_x": 0.093 + 0.015 * p["nose_width"],
        "root_z": 0.585 + 0.020 * p["nose_bridge"],
        "root_r": 0.070 + 0.006 * p["nose_bridge"],
        "mouth_w": mouth_w,
        # the upper lip keeps clear of the nose
        "mouth_y": np.minimum(mouth_y, nose_y - 0.215),
        "mouth_curve": 0.068 * smile - 0.060 * p["mouth_frown"] - 0.012 * s["sag"],
        "gap_w": mouth_w * (0.90 - 0.18 * round_),
        "gap_up": open_ * (0.030 + 0.030 * round_),
        "gap_low": open_ * (0.125 + 0.02 * round_),
        "lip_up": 0.050 * lip * (1 - 0.16 * smile),
        "lip_low": 0.064 * lip * (1 - 0.10 * smile),
        "ear_s": 1 + 0.085 * p["ear_size"],
        "ear_x": 0.640 * s["wide"] - 0.05 * _covered(p),
        "neck_r": 0.325 * (1 + 0.075 * p["neck_width"]),
    }


def _hair(p: dict, s: dict) -> dict:
    length, volume, curl = p["hair_length"], p["hair_volume"], p["hair_curl"]
    afro = np.clip((curl - 0.75) / 0.25, 0, 1)
    has = np.clip((length - 0.12) / 0.01, 0, 1)
    grown = np.clip((length - 0.02) / 0.2, 0.4, 1)
    hat = (p["hat"] > 0.5).astype(float)
    fall = np.clip((length - 0.36) / 0.06, 0, 1) * (1 - afro)
    thick = has * grown * (0.05 + 0.17 * volume + afro * 0.13 * volume)
    bun = p["hair_bun"] * (1 - hat) * has
    # short straight hair stands up over the forehead
    quiff = np.clip((length - 0.18) / 0.06, 0, 1) * np.clip((0.44 - length) / 0.08, 0, 1)
    quiff *= np.clip(1 - curl / 0.3, 0, 1) * np.clip(1.6 - 2 * p["hair_fringe"], 0, 1)
    sweep = -np.tanh(3 * p["part"])
    return {
        "hair_thick": thick,
        "hair_has": has,
        "hair_afro": afro,
        "hair_buzz": np.clip(length / 0.1, 0, 1),
        "hair_fall": fall,
        "hair_end": -0.72 - (length - 0.5) * np.where(length > 0.5, 1.85, 2.6),
        "hair_x": 0.705 * s["wide"] + 0.02 + 0.10 * volume,
        "hairline": 0.655
        + 0.02 * p["forehead"]
        + 0.08 * s["sag"] * np.clip((0.5 - length) / 0.1, 0, 1),
        "hat_line": np.where(hat > 0, 0.34, 9.0),
        "bun": bun,
        "bun_y": 1.06 + 0.5 * thick,
        "quiff": quiff * (1 - bun) * (0.4 + volume),
        "part_x": 0.30 * np.tanh(2 * p["part"]),
        "sweep": sweep,  # where the front is combed: -1 to the left of the picture, 1 to the right
        "comb": 0.06 * sweep * np.clip(1 - curl, 0, 1) * (1 - bun),  # turns
        "sheen": p["strand_phase"] - 0.5,  # moves the band of light, softly
    }


def _colors(p: dict) -> dict:
    n = len(p["age"])
    ones = np.ones(n)
    skin = _between(_SKIN, p["skin_tone"])
    skin = skin * (1 + p["skin_undertone"][:, None] * np.array([0.018, 0.004, -0.055]))
    dark = p["skin_tone"][:, None]
    tint = p["lip_tint"][:, None]
    lip = skin * np.array([0.86, 0.50, 0.50]) + np.array([0.05, 0.005, 0.012]) * dark
    lip = lip * (1 - 0.55 * tint) + 0.55 * tint * _ramp((188, 48, 66)) * (1 - 0.45 * dark)
    hair = _HAIR[p["hair_color"].astype(int)]
    grey = 0.9 * p["grey"][:, None] * (p["hair_color"] < 6)[:, None]
    shade = _ramp((196, 192, 188))
    brow = hair * 0.55 * (1 - 0.7 * grey) + 0.7 * grey * shade * 0.6
    return {
        "skin": skin,
        "lip": lip,
        "hair": hair * (1 - grey) + grey * shade,
        "brow": brow,
        "eyec": _EYE[p["eye_color"].astype(int)],
        "cloth": hsv(
            p["cloth_hue"], 0.15 + 0.65 * p["cloth_saturation"], 0.28 + 0.62 * p["cloth_value"]
        ),
        "frame": hsv(p["frame_hue"], 0.55 * ones, 0.12 + 0.6 * p["frame_value"] ** 2),
        "hatc": hsv(p["hat_hue"], 0.55 * ones, 0.62 * ones),
        "jewel": _between(
            _ramp((236, 190, 90), (222, 222, 228), (226, 120, 130), (90, 190, 190)), p["jewel_hue"]
        ),
    }


def _light(p: dict) -> dict:
    azimuth, elevation = np.radians(p["light_azimuth"]), np.radians(p["light_elevation"])
    warm, ambient = p["light_warmth"], p["ambient"]
    key = 1.60 - 0.75 * ambient
    return {
        "sun_x": np.sin(azimuth) * np.cos(elevation),
        "sun_y": np.sin(elevation),
        "sun_z": np.cos(azimuth) * np.cos(elevation),
        "key_r": key * (1 + 0.12 * warm),
        "key_g": key * (0.98 + 0 * warm),
        "key_b": key * (0.93 - 0.20 * warm),
    }


def figures(parameters: np.ndarray) -> np.ndarray:
    """Records of `FIGURE`, (N,), of parameter vectors (N, 97)."""
    parameters = np.asarray(parameters, np.float64)
    p = {name: parameters[:, i] for name, i in INDEX.items()}
    fields = dict(p)
    skull = _skull(p)
    for part in (skull, _features(p, skull), _hair(p, skull), _light(p)):
        fields.update(part)
    for name, rgb in _colors(p).items():
        fields.update({f"{name}_{c}": rgb[:, i] for i, c in enumerate("rgb")})
    table = np.empty(len(parameters), np.dtype([(name, np.float64) for name in fields]))
    for name, column in fields.items():
        table[name] = column
    return table


FIGURE = figures(np.zeros((1, len(NAMES)))).dtype
