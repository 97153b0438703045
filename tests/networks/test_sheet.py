"""Contact sheets: where each picture lands, and with which bytes."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from pipelines.training.sheet import save_sheet, sheet


def flat(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None].expand(-1, 3, 4, 6)


def test_pictures_go_row_by_row_and_the_rest_is_black():
    tiles = np.asarray(sheet(flat(-0.2, 0.2, 1.0, 0.5, 0.9), columns=3))
    assert tiles.shape == (8, 18, 3) and tiles.dtype == np.uint8
    shown = tiles.reshape(2, 4, 3, 6, 3).swapaxes(1, 2)
    assert (shown == shown[:, :, :1, :1, :1]).all()
    assert shown[:, :, 0, 0, 0].tolist() == [[102, 153, 255], [191, 242, 0]]


def test_what_is_out_of_range_is_clipped_and_gradients_do_not_matter(tmp_path):
    images = flat(-3.0, 7.0).clone().requires_grad_(True)
    save_sheet(tmp_path / "sheet.png", images.bfloat16())
    saved = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert saved.shape == (4, 48, 3)
    assert (saved[:, 6:12] == 255).all() and saved.sum() == 255 * 4 * 6 * 3
