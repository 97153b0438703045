"""EditGAN (Ling et al. 2021)."""

from demos.kit.paper import Paper
from examples.editgan.results import STORED

PAPER = Paper(
    slug="editgan",
    name="EditGAN",
    title="EditGAN: High-Precision Semantic Image Editing",
    authors="Huan Ling, Karsten Kreis, Daiqing Li, Seung Wook Kim, Antonio Torralba, Sanja Fidler",
    year=2021,
    says="Repaint the part map of a picture, and the picture follows; the edit becomes a vector "
    "that works on other pictures too.",
    article="https://arxiv.org/abs/2111.03186",
    code="https://github.com/nv-tlabs/editGAN_release",
    citation="""@inproceedings{ling2021editgan,
  title     = {{EditGAN}: High-Precision Semantic Image Editing},
  author    = {Ling, Huan and Kreis, Karsten and Li, Daiqing and Kim, Seung Wook and
               Torralba, Antonio and Fidler, Sanja},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2021}
}""",
    pipeline="pipelines.editgan:EditGAN",
    page="demos.editgan.page:build",
    api="demos.editgan.api:functions",
    comparison="demos.editgan.comparison:METHOD",
    clay_alone="Its parts, examples and true answers are those of clay heads.",
    places={"picture": "Picture to embed"},
    kinds=STORED.kinds,
    networks=STORED.weights,
)
