"""MM2Latent (Meng et al. 2024)."""

from demos.kit.paper import Paper
from examples.mm2latent.results import STORED

PAPER = Paper(
    slug="mm2latent",
    name="MM2Latent",
    title="MM2Latent: Text-to-facial image generation and editing in GANs with multimodal "
    "assistance",
    authors="Debin Meng, Christos Tzelepis, Ioannis Patras, Georgios Tzimiropoulos",
    year=2024,
    says="Text, masks, sketches and face parameters, each mapped straight to the generator's code.",
    article="https://arxiv.org/abs/2409.11010",
    code="https://github.com/Open-Debin/MM2Latent",
    citation="""@misc{meng2024mm2latent,
  title  = {{MM2Latent}: Text-to-facial image generation and editing in {GANs} with multimodal
            assistance},
  author = {Meng, Debin and Tzelepis, Christos and Patras, Ioannis and Tzimiropoulos, Georgios},
  year   = {2024}
}""",
    pipeline="pipelines.mm2latent:MM2Latent",
    page="demos.mm2latent.page:build",
    places={"edit": "Edit"},
    api="demos.mm2latent.api:functions",
    comparison="demos.mm2latent.comparison:METHOD",
    kinds=STORED.kinds,
    networks=STORED.weights,
)
