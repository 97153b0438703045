"""Spatially-adaptive multilayer (SAM) inversion (Parmar 2022); it is not Segment Anything."""

from demos.kit.paper import Paper
from examples.sam_inversion.results import STORED

PAPER = Paper(
    slug="sam_inversion",
    name="SAM inversion",
    title="Spatially-Adaptive Multilayer GAN Inversion and Editing",
    authors="Gaurav Parmar",
    year=2022,
    says="Hard regions of a picture, such as hats or hands, go into later layers of the generator; "
    "easy ones stay where they can be edited.",
    article="https://arxiv.org/abs/2206.08357",  # the conference's version of the thesis
    code="https://github.com/adobe-research/sam_inversion",
    citation="""@mastersthesis{parmar2022spatially,
  title  = {Spatially-Adaptive Multilayer {GAN} Inversion and Editing},
  author = {Parmar, Gaurav},
  school = {The Robotics Institute, Carnegie Mellon University},
  year   = {2022}
}""",
    pipeline="pipelines.sam_inversion:SAMInversion",
    page="demos.sam_inversion.page:build",
    places={"picture": "Picture"},
    api="demos.sam_inversion.api:functions",
    comparison="demos.sam_inversion.comparison:METHOD",
    kinds=STORED.kinds,
    networks=STORED.weights,
)
