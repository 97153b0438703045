"""Names of what a portrait's label map can hold, and their 19 BiSeNet / CelebAMask-HQ classes.

"left" is the side of the picture a viewer calls left, as `l_eye` in CelebAMask-HQ's masks: the
portrayed person's own right side. Eyelids belong to the eye, a beard to the skin, teeth and the
open mouth to `mouth`; whatever lies behind a spectacle lens is labelled as the lens (`eye_g`), as
CelebAMask-HQ does.
"""

from __future__ import annotations

import numpy as np

CLASSES: tuple[str, ...] = (
    "bg", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear", "ear_r", "nose",
    "mouth", "u_lip", "l_lip", "neck", "neck_l", "cloth", "hair", "hat",
)  # fmt: skip

_PART_CLASSES: tuple[tuple[str, str], ...] = (
    ("background", "bg"),
    ("skin", "skin"),
    ("left brow", "l_brow"),
    ("right brow", "r_brow"),
    ("left upper lid", "l_eye"),
    ("right upper lid", "r_eye"),
    ("left lower lid", "l_eye"),
    ("right lower lid", "r_eye"),
    ("left sclera", "l_eye"),
    ("right sclera", "r_eye"),
    ("left iris", "l_eye"),
    ("right iris", "r_eye"),
    ("left pupil", "l_eye"),
    ("right pupil", "r_eye"),
    ("left ear", "l_ear"),
    ("right ear", "r_ear"),
    ("nose bridge", "nose"),
    ("nose tip", "nose"),
    ("nostrils", "nose"),
    ("upper lip", "u_lip"),
    ("lower lip", "l_lip"),
    ("teeth", "mouth"),
    ("mouth interior", "mouth"),
    ("hair", "hair"),
    ("beard", "skin"),
    ("neck", "neck"),
    ("clothing", "cloth"),
    ("glasses frame", "eye_g"),
    ("glasses lens", "eye_g"),
    ("hat", "hat"),
    ("earring", "ear_r"),
    ("necklace", "neck_l"),
)

PARTS: tuple[str, ...] = tuple(part for part, _ in _PART_CLASSES)
PROP = len(PARTS)  # in a rendered label map: a prop, which is nobody's part
PART_TO_CLASS = np.array([CLASSES.index(name) for _, name in _PART_CLASSES], np.uint8)

# One readable colour a class, for legends and overlays; sRGB.
PALETTE = np.array(
    [
        (32, 34, 40), (244, 193, 160), (122, 78, 50), (150, 98, 62), (86, 156, 214),
        (58, 122, 190), (64, 64, 112), (226, 140, 120), (208, 118, 104), (255, 214, 64),
        (236, 164, 128), (120, 24, 44), (226, 88, 112), (204, 58, 92), (214, 160, 130),
        (240, 220, 130), (92, 176, 132), (96, 64, 140), (232, 120, 48),
    ],
    np.uint8,
)  # fmt: skip

# One colour a part for painting, no two closer than 50 of 441: a legend reads them, and a brush's
# soft edge between two is not taken for a third. Right-hand parts are darker than left-hand ones.
PART_PALETTE = np.array(
    [
        (24, 26, 32), (246, 200, 166), (140, 92, 36), (84, 48, 12), (150, 110, 230),
        (98, 52, 190), (240, 150, 236), (176, 84, 176), (250, 252, 255), (186, 206, 224),
        (64, 178, 255), (20, 108, 206), (0, 34, 130), (0, 70, 62), (242, 110, 66),
        (184, 70, 60), (255, 226, 122), (236, 176, 40), (96, 110, 0), (250, 92, 124),
        (206, 20, 72), (190, 255, 190), (104, 0, 36), (128, 128, 136), (104, 150, 60),
        (206, 154, 110), (30, 160, 118), (70, 84, 100), (120, 224, 226), (255, 120, 0),
        (180, 232, 70), (88, 236, 138),
    ],
    np.uint8,
)  # fmt: skip
