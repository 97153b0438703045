"""The papers, in the order of the home page and of the navigation: a line each.

A paper is a folder of this one with its record, `PAPER`; whatever is made of all papers (pages,
navigation, cards, the header, GPUs on a Space, tests) is made of this list, and nothing else names
one.
"""

from __future__ import annotations

from importlib import import_module

from demos.kit.paper import Paper

SLUGS = (
    "indomain",
    "editgan",
    "sam_inversion",
    "mm2latent",
    "diffusion_inversion",
)
PAPERS: tuple[Paper, ...] = tuple(import_module(f"demos.{slug}").PAPER for slug in SLUGS)
