"""Every trained weight of the project, by name: `weights.load(Generator, "clay-heads/generator")`.

`fetch` finds and checks a file, `load` builds the network in it, `shared` does so once for all
tabs, `load_tensors` reads plain tensors, `save` writes a file with its model card, `domains` says
what each domain offers and lacks, `sizes` how large what it lacks is. The list is `manifest.toml`;
`python -m weights` prints it. Only safetensors are opened here: a file published as a pickle is
rewritten once by `weights.convert`, whose reader builds tensors and runs nothing.
"""

from weights.catalogue import Domain, Missing, Page, domains, sizes
from weights.errors import Altered, NoRoom, Offline, WeightsError
from weights.manifest import MANIFEST
from weights.modules import load, load_config, load_file, load_tensors, save, shared
from weights.store import UNTRUSTED, fetch
from weights.transfer import Progress

__all__ = [
    "MANIFEST",
    "UNTRUSTED",
    "Altered",
    "Domain",
    "Missing",
    "NoRoom",
    "Offline",
    "Page",
    "Progress",
    "WeightsError",
    "domains",
    "fetch",
    "load",
    "load_config",
    "load_file",
    "load_tensors",
    "save",
    "shared",
    "sizes",
]
