"""Clay heads: a procedural portrait domain with full ground truth, made from numbers alone.

Every portrait comes with its latent code, parts, mask, sketch, caption, shape, expression and
camera, and every semantic edit with its true answer. Importing this package is light; the renderer
is compiled at the first portrait.
"""

from __future__ import annotations

from examples.clay.dataset import ClaySet
from examples.clay.edits import EDITS
from examples.clay.parameters import SEEDS, draw, latent
from examples.clay.portraits import Portrait, portrait

# `render` stays in examples.clay.render: a function here would be hidden by that module.
__all__ = ["EDITS", "SEEDS", "ClaySet", "Portrait", "draw", "latent", "portrait"]
