"""Which networks a domain gives a paper: found by name in the manifest and loaded.

What a page needs must be usable; of its extras, what is not usable now is left out, and `missing`
says why, a sentence for each component.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

import weights
from pipelines.networks import stylegan1, stylegan2
from pipelines.networks.irse import FaceJudge, FaceRecogniser
from pipelines.networks.judge import PortraitJudge
from pipelines.networks.perceptual import PerceptualDistance
from weights.catalogue import needed

Load = Callable[[type[nn.Module], str], nn.Module]  # weights.load, or weights.shared on a device

# What every paper asks for -> the components that can give it, by class.
GENERATOR = {"generator": stylegan2.Generator, "stylegan1-generator": stylegan1.Generator}
PERCEPTUAL = {"perceptual": PerceptualDistance, "vgg16": PerceptualDistance}
JUDGE = {"judge": PortraitJudge, "identity": FaceRecogniser}


class Components:
    """The weights of one paper's page in a domain; `missing` grows as extras turn out unusable."""

    def __init__(self, domain: str, paper: str, load: Load) -> None:
        self.domain, self.paper, self.load = domain, paper, load
        self.missing: dict[str, str] = {}
        self._needs, self._offline = page_of(domain, paper).needs, False
        # A component -> its full name; needs come first, which lets them fail first.
        self._names = {name.partition("/")[2]: name for name in needed(domain, paper)}

    @property
    def lacking(self) -> str:
        """What the page lacks before it can run, and how to get it, in one sentence; or ""."""
        lacks = page_of(self.domain, self.paper).missing
        if not lacks:
            return ""
        cures = "; ".join(f"{lack.name} ({lack.reason}): {lack.cure.rstrip('.')}" for lack in lacks)
        return f"{self.paper} in {self.domain} lacks {cures}."

    def judge(self) -> PortraitJudge | FaceJudge | None:
        """Who tells people apart here, None where nobody does."""
        judge = self.network(JUDGE)
        return FaceJudge(judge).eval() if isinstance(judge, FaceRecogniser) else judge

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
