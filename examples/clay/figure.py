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
    width, long = 1 + 0.048 * p["face_width"], 1 + 0.050 * p["face_length"]
    full, chin, bones, raised = p["fullness"], p["chin_size"], p["cheekbones"], p["cheek_raise"]
    face_x = (0.578 + 0.034 * full) * width
    jaw_x = (0.415 + 0.070 * p["jaw_width"] + 0.046 * full) * width
    return {
        "wide": width,
        "long": long,
        "cran_x": 0.70 * width,
        "cran_y": 0.77 + 0.026 * p["forehead"],
        "face_x": face_x,
        "face_y": -0.25 * long,
        "face_ry": 0.70 * long,
        "jaw_x": np.minimum(jaw_x, face_x + 0.03),
        "jaw_taper": 0.075 * p["jaw_width"],  # of the face's width, towards the jaw
        "jaw_y": -0.60 * long,
        "jaw_ry": 0.31 + 0.016 * full,
        "chin_y": -0.84 * long - 0.06 * p["mouth_open"] - 0.024 * chin,
        "chin_r": 0.155 + 0.031 * chin + 0.008 * full,
        "chin_z": 0.42 + 0.016 * chin,
        "cheek_x": (0.355 + 0.015 * bones) * width,
        "cheek_y": -0.27 * long + 0.012 * bones + 0.065 * raised,
        "cheek_r": 0.19 + 0.0235 * bones + 0.034 * full + 0.035 * raised,
        "cheek_z": 0.375 + 0.017 * bones + 0.015 * raised,
        "hollow": 0.0195 * bones - 0.003 * full,  # depth of the cheeks below the bones
        "brow_ridge": 0.035 + 0.010 * p["age"],
        "sag": np.clip((p["age"] - 0.45) / 0.55, 0, 1),
    }


def _covered(p: dict) -> np.ndarray:
    """How much hair lies over the ears and presses them to the head, 0 to 1."""
    return np.clip((p["hair_length"] - 0.38) / 0.08, 0, 1)


def _features(p: dict, s: dict) -> dict:
    return {**_eyes(p, s), **_nose(p, s), **_ears(p, s), **_mouth(p, s)}


def _eyes(p: dict, s: dict) -> dict:
    """Eyes inside the face and clear of the nose, brows clear of the eyes."""
    size, wide = 1 + 0.145 * p["eye_size"], s["wide"]
    knit = p["brow_knit"]
    eye_w = 0.163 * size * np.sqrt(wide)
    eye_x = (0.292 + 0.023 * p["eye_spacing"]) * wide**0.6
    eye_x = np.clip(eye_x, 0.06 + eye_w, 0.548 * wide - eye_w)
    eye_up = 0.108 * (0.25 + 0.75 * size) * p["lid_open"] * (1 - 0.18 * s["sag"])
    low = np.minimum(1, 0.25 + p["lid_open"]) * (1 - 0.28 * p["cheek_raise"])
    brow_h = 0.004 + 0.082 * p["brow_thickness"] ** 1.25
    brow_y = 0.207 + 0.034 * p["brow_height"] + 0.075 * p["brow_raise"] - 0.018 * knit
    return {
        "eye_x": eye_x,
        "eye_z": np.full_like(size, 0.375),
        "eye_r": 0.222 * (0.6 + 0.4 * size),
        "eye_w": eye_w,
        "eye_up": eye_up,
        "eye_low": 0.070 * size * low,
        "tilt": np.tan(np.radians(7.4 * p["eye_tilt"] + 3.0)),
        "iris": 0.086 * (0.1 + 0.9 * size),
        "brow_x": eye_x - 0.167 - 0.05 * knit,
        "brow_y": np.maximum(brow_y, eye_up + 0.6 * brow_h + 0.02),
        "brow_h": brow_h,
        "brow_bend": 0.028 + 0.075 * p["brow_arch"] + 0.02 * p["brow_raise"],
        "brow_slope": 0.016 * p["eye_tilt"],  # rise of the outer end over the inner one
        "brow_drop": 0.130 * knit,
    }


def _nose(p: dict, s: dict) -> dict:
    length, wide, tip, bridge = (p[f"nose_{name}"] for name in ("length", "width", "tip", "bridge"))
    nose_r = 0.092 * np.exp(0.22 * tip)
    return {
        "nose_y": -0.335 * (0.45 + 0.55 * s["long"]) - 0.031 * length * s["long"],
        "nose_z": 0.765 + 0.024 * tip + 0.012 * length,
        "nose_r": nose_r,
        "nose_mid": np.maximum(0.82 * nose_r + 0.025 * wide, 0.045),
        "ala_x": 0.093 * np.exp(0.52 * wide),
        "ala_r": 0.058 * np.exp(0.29 * wide),
        "root_z": 0.585 + 0.043 * bridge,
        "root_r": 0.070 + 0.0125 * bridge + 0.006 * wide,
    }


def _ears(p: dict, s: dict) -> dict:
    """Ears, the larger the further they stand off; hair over them presses them to the head."""
    free = 1 - _covered(p)
    flare = np.radians(25.5 + 9.0 * p["ear_size"] * free)
    base = np.maximum(0.640 * s["wide"], s["face_x"] - 0.01)
    return {
        "ear_s": 1 + 0.165 * p["ear_size"] * (0.4 + 0.6 * free),
        "ear_x": base - 0.05 * (1 - free) + 0.012 * p["ear_size"] * free,
        "ear_cos": np.cos(flare),
        "ear_sin": np.sin(flare),
        "neck_r": 0.325 * (1 + 0.115 * p["neck_width"]),
    }


def _mouth(p: dict, s: dict) -> dict:
    """A mouth that keeps clear of the nose and within the jaw, and a chin below it."""
    smile, open_, round_ = p["smile"], p["mouth_open"], p["mouth_round"]
    frown = p["mouth_frown"]
    mouth_w = 0.225 * np.exp(0.28 * p["mouth_width"]) * np.sqrt(s["wide"])
    mouth_w = mouth_w + 0.070 * smile - 0.060 * round_ - 0.01 * frown
    jaw = np.maximum(s["jaw_x"], 0.8 * s["face_x"] * (1 + s["jaw_taper"]))
    mouth_w = np.minimum(mouth_w, 0.84 * jaw)
    lip = np.exp(0.38 * p["lip_fullness"]) * (1 - 0.2 * s["sag"])
    lip_up = 0.058 * lip * (1 - 0.16 * smile)
    lip_low = 0.074 * lip * (1 - 0.10 * smile)
    gap_low = open_ * (0.125 + 0.02 * round_)
    mouth_y = -0.605 * s["long"] - 0.034 * p["mouth_height"] - 0.012 * smile + 0.02 * frown
    nose = _nose(p, s)
    mouth_y = np.minimum(mouth_y, nose["nose_y"] - 0.125 - 0.85 * nose["nose_r"] - 0.8 * lip_up)
    return {
        "mouth_w": mouth_w,
        "mouth_y": mouth_y,
        "mouth_curve": 0.105 * smile - 0.140 * frown - 0.012 * s["sag"],
        "gap_w": mouth_w * (0.90 - 0.18 * round_),
        "gap_up": open_ * (0.030 + 0.030 * round_),
        "gap_low": gap_low,
        "lip_up": lip_up,
        "lip_low": lip_low,
        "chin_y": np.minimum(s["chin_y"], mouth_y - gap_low - lip_low - 0.06),
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
        + 0.026 * p["forehead"]
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


def _worn(makeup: np.ndarray) -> np.ndarray:
    """How much of a make-up shows: little of it in the lower half, then soon all of it."""
    t = np.clip((makeup - 0.3) / 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _colors(p: dict) -> dict:
    n = len(p["age"])
    ones = np.ones(n)
    skin = _between(_SKIN, p["skin_tone"])
    # from rosy to golden
    skin = skin * np.exp(p["skin_undertone"][:, None] * np.array([0.0, 0.045, -0.170]))
    dark = p["skin_tone"][:, None]
    tint = 0.95 * _worn(p["lip_tint"])[:, None]
    lip = skin * np.array([0.82, 0.40, 0.42]) + np.array([0.06, 0.005, 0.012]) * dark
    lip = lip * (1 - tint) + tint * _ramp((186, 24, 52)) * (1 - 0.45 * dark)
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
    fields["flush"] = 0.12 + 0.88 * _worn(p["blush"])  # of the cheeks, 0 to 1
    for part in (skull, _features(p, skull), _hair(p, skull), _light(p)):
        fields.update(part)
    for name, rgb in _colors(p).items():
        fields.update({f"{name}_{c}": rgb[:, i] for i, c in enumerate("rgb")})
    table = np.empty(len(parameters), np.dtype([(name, np.float64) for name in fields]))
    for name, column in fields.items():
        table[name] = column
    return table


FIGURE = figures(np.zeros((1, len(NAMES)))).dtype
