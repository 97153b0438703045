"""Diffusion-driven GAN inversion (Kim et al. 2024)."""

from demos.kit.paper import Paper
from examples.diffusion_inversion.results import STORED

PAPER = Paper(
    slug="diffusion_inversion",
    name="Diffusion-driven inversion",
    title="Diffusion-driven GAN Inversion for Multi-Modal Face Image Generation",
    authors="Jihyun Kim, Changjae Oh, Hoseok Do, Soohyun Kim, Kwanghoon Sohn",
    year=2024,
    says="Features and attention maps of a diffusion model, translated into the code of a GAN, "
    "also of one that knows three dimensions.",
    article="https://arxiv.org/abs/2405.04356",
    code="",
    citation="""@inproceedings{kim2024diffusion,
  title     = {Diffusion-driven {GAN} Inversion for Multi-Modal Face Image Generation},
  author    = {Kim, Jihyun and Oh, Changjae and Do, Hoseok and Kim, Soohyun and Sohn, Kwanghoon},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2024}
}""",
    pipeline="pipelines.diffusion_inversion:DiffusionInversion",
    page="demos.diffusion_inversion.page:build",
    places={"picture": "Start from"},
    api="demos.diffusion_inversion.api:functions",
    comparison="demos.diffusion_inversion.comparison:METHOD",
    kinds=STORED.kinds,
    networks=STORED.weights,
)
