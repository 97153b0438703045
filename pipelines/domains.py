"""Which networks a domain gives a paper: found by name in the manifest, loaded, fitted together.

What a page needs must be usable; of its extras, what is not usable now is left out, and `missing`
says why, a sentence for each component.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

import weights
from pipelines.boundary import Boundary, boundaries_from
from pipelines.editing_vector import EditingVector, from_tensors
from pipelines.networks import stylegan1, stylegan2
from pipelines.networks.encoders import LayerwiseEncoder
from pipelines.networks.indomain_encoder import InDomainEncoder
from pipelines.networks.irse import FaceJudge, FaceRecogniser
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from pipelines.networks.psp import AtItsSize, Encoder4Editing
from pipelines.networks.segmentation import SegmentationBranch
from weights.catalogue import needed

Load = Callable[[type[nn.Module], str], nn.Module]  # weights.load, or weights.shared on a device

# What a paper asks for -> the components that can give it, by class.
GENERATOR = {"generator": stylegan2.Generator, "stylegan1-generator": stylegan1.Generator}
ENCODER = {"indomain-encoder": LayerwiseEncoder, "stylegan1-encoder": InDomainEncoder}
EMBEDDER = {"editgan-encoder": LayerwiseEncoder, "e4e-encoder": Encoder4Editing}
CONVENTIONAL = {"conventional-encoder": LayerwiseEncoder}
PERCEPTUAL = {"perceptual": PerceptualDistance, "vgg16": PerceptualDistance}
JUDGE = {"judge": PortraitJudge, "identity": FaceRecogniser}


@dataclass(frozen=True)
class Tuning:
    """How in-domain optimisation of a whole picture descends.

    rate: of Adam. domain: weight of ||w - E(G(w))||^2. anneal: whether the rate falls to zero over
    the last quarter of the steps.
    """

    rate: float = 0.01
    domain: float = 2.0
    anneal: bool = False


PUBLISHED = Tuning()

# Departs from paper, whose numbers suit its own E and w: on 8 validation portraits, 100 steps, they
# rebuild the clay at 21.3 dB. A rate of 0.1 with annealing gives Image2StyleGAN its best, 23.9 dB;
# with it in-domain reaches 21.3 dB at a weight of 2, 23.9 at 0.05, 24.3 at 0.02, 24.5 at 0.01 and
# 24.9 at 0. This is the largest of these that leaves in-domain ahead. Diffusion keeps the published
# rate: at 0.1 the pasted face gains 2.6 dB and what surrounds it loses 1.9.
TUNINGS = {"clay-heads": Tuning(rate=0.1, domain=0.02, anneal=True)}


@dataclass(frozen=True)
class InDomainNetworks:
    """What a domain has for in-domain inversion, in the words of `indomain.InDomain`."""

    generator: stylegan1.Generator | stylegan2.Generator
    encoder: InDomainEncoder | LayerwiseEncoder
    conventional: LayerwiseEncoder | None
    perceptual: PerceptualDistance
    judge: PortraitJudge | FaceJudge | None
    boundaries: Mapping[str, Boundary]
    calibration: Float[Tensor, " n"] | None
    missing: Mapping[str, str]
    tuning: Tuning


def indomain(domain: str, load: Load) -> InDomainNetworks:
    """The networks of in-domain inversion; raises `WeightsError` for what it cannot do without."""
    shelf = Shelf(domain, "indomain", load)
    generator = shelf.network(GENERATOR)
    judge = shelf.network(JUDGE)
    tensors = shelf.tensors("boundaries") | shelf.tensors("boundary-")
    networks = InDomainNetworks(
        generator=generator,
        encoder=shelf.network(ENCODER),
        conventional=shelf.network(CONVENTIONAL),
        perceptual=shelf.network(PERCEPTUAL),
        judge=FaceJudge(judge).eval() if isinstance(judge, FaceRecogniser) else judge,
        boundaries=boundaries_from(tensors),
        calibration=shelf.tensors("indomain-calibration").get("distance"),
        missing=shelf.missing,
        tuning=TUNINGS.get(domain, PUBLISHED),
    )
    _check_fit(networks, domain)
    return networks


@dataclass(frozen=True)
class EditGANNetworks:
    """What a domain has for EditGAN, in the words of `editgan.EditGAN`; branch None while it is
    being trained."""

    generator: stylegan2.Generator
    encoder: LayerwiseEncoder | AtItsSize
    branch: SegmentationBranch | None
    perceptual: PerceptualDistance
    judge: PortraitJudge | FaceJudge | None
    library: Mapping[str, EditingVector]


def editgan(domain: str, load: Load, trained: bool = True) -> EditGANNetworks:
    """The networks of EditGAN; raises `WeightsError` for what it cannot do without.

    trained: False leaves out the branch and the vectors, for the recipes that train them.
    """
    shelf = Shelf(domain, "editgan", load)
    encoder = shelf.network(EMBEDDER)
    judge = shelf.network(JUDGE)
    library: Mapping[str, EditingVector] = {}
    if trained and (tensors := shelf.tensors("editing-vectors")):
        library = from_tensors(tensors, weights.load_config(f"{domain}/editing-vectors"))
    return EditGANNetworks(
        generator=shelf.network({"generator": stylegan2.Generator}),
        encoder=AtItsSize(encoder).eval() if isinstance(encoder, Encoder4Editing) else encoder,
        branch=shelf.network({"segmentation-branch": SegmentationBranch}) if trained else None,
        perceptual=shelf.network(PERCEPTUAL),
        judge=FaceJudge(judge).eval() if isinstance(judge, FaceRecogniser) else judge,
        library=library,
    )


@dataclass
class Shelf:
    """The weights of one paper's page in a domain; `missing` grows as extras turn out unusable."""

    domain: str
    paper: str
    load: Load
    missing: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        page = page_of(self.domain, self.paper)
        self._needs, self._offline = page.needs, False
        # A component -> its full name; needs come first, which lets them fail first.
        self._names = {name.partition("/")[2]: name for name in needed(self.domain, self.paper)}

    def network(self, classes: Mapping[str, type[nn.Module]]) -> Any:
        """The network of whichever of these components the page lists, None if there is none."""
        for component, network_class in classes.items():
            if component in self._names and self._usable(component):
                return self.load(network_class, self._names[component])
        return None

    def tensors(self, start: str) -> dict[str, Tensor]:
        """The tensors of every component whose name starts so."""
        found: dict[str, Tensor] = {}
        for component, name in self._names.items():
            if component.startswith(start) and self._usable(component):
                found |= weights.load_tensors(name)
        return found

    def _usable(self, component: str) -> bool:
        """Fetch a component; what is wrong with an extra is noted, with a need it is raised."""
        name = self._names[component]
        try:
            weights.fetch(name, local_only=self._offline)
        except weights.WeightsError as error:
            if name in self._needs:
                raise
            self._offline = self._offline or isinstance(error, weights.Offline)
            self.missing[component] = str(error)
            return False
        return True


def page_of(domain: str, paper: str) -> weights.Page:
    """What a paper's page needs in a domain; raises `WeightsError` if the domain has none."""
    listed = {entry.name: entry for entry in weights.domains()}
    serving = [name for name, entry in listed.items() if entry.page(paper)]
    if domain not in serving:
        got = "an unknown domain" if domain not in listed else "one without this paper"
        raise weights.WeightsError(
            f"expected a domain of {paper} ({', '.join(serving)}); got {domain!r}, {got}; "
            "choose another, or list its weights in the manifest."
        )
    return listed[domain].page(paper)


def lacking(domain: str, paper: str) -> str:
    """What a domain's page lacks before it can run, and how to get it, in one sentence; or ""."""
    missing = page_of(domain, paper).missing
    if not missing:
        return ""
    cures = "; ".join(f"{lack.name} ({lack.reason}): {lack.cure.rstrip('.')}" for lack in missing)
    return f"{paper} in {domain} lacks {cures}."


def _check_fit(networks: InDomainNetworks, domain: str) -> None:
    """Raise unless all pieces are for pictures and codes of one size."""
    generator, encoder = networks.generator, networks.encoder
    sizes = [(n.resolution, n.num_ws, n.w_dim) for n in (generator, encoder)]
    if sizes[0] != sizes[1]:
        raise weights.WeightsError(
            f"{domain}: expected an encoder for {sizes[0]} (pixels, layers, length of a code), as "
            f"the generator has them; got one for {sizes[1]}; pin the pair that belongs together."
        )
    for name, boundary in networks.boundaries.items():
        if len(boundary.layers) != generator.num_ws:
            raise weights.WeightsError(
                f"{domain}: expected the boundary {name} for {generator.num_ws} layers; got one "
                f"for {len(boundary.layers)}; pin one that belongs to the generator."
            )
