"""In-Domain GAN Inversion (Zhu et al. 2020)."""

from demos.kit.paper import Paper
from examples.indomain.results import STORED

PAPER = Paper(
    slug="indomain",
    name="In-domain inversion",
    title="In-Domain GAN Inversion for Real Image Editing",
    authors="Jiapeng Zhu, Yujun Shen, Deli Zhao, Bolei Zhou",
    year=2020,
    says="A code that only copies the pixels cannot be edited. Keep it where the generator knows "
    "what a face is, and one face can be diffused into another picture, blended, aged or lit from "
    "the other side.",
    article="https://arxiv.org/abs/2004.00049",
    code="https://github.com/genforce/idinvert_pytorch",
    citation="""@inproceedings{zhu2020indomain,
  title     = {In-Domain {GAN} Inversion for Real Image Editing},
  author    = {Zhu, Jiapeng and Shen, Yujun and Zhao, Deli and Zhou, Bolei},
  booktitle = {European Conference on Computer Vision (ECCV)},
  year      = {2020}
}""",
    pipeline="pipelines.indomain:InDomain",
    page="demos.indomain.page:build",
    places={
        "target": "Diffuse, as target",
        "contexts": "Diffuse, as context",
        "invert": "Invert",
        "first": "Interpolate, as first",
        "second": "Interpolate, as second",
        "manipulate": "Manipulate",
        "contents": "Mix, as content",
        "styles": "Mix, as style",
    },  # fmt: skip
    api="demos.indomain.api:functions",
    comparison="demos.indomain.comparison:METHOD",
    kinds=STORED.kinds,
    networks=STORED.weights,
)
