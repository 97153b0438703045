"""Every trained weight of the project, by name: `weights.load(Generator, "clay-heads/generator")`.

`fetch` finds and checks a file, `load` builds the network in it, `shared` does so once for all
tabs, `load_tensors` reads plain tensors, `save` writes a file with its model card. The list is
`manifest.toml`; `python -m weights` prints it. Only safetensors are ever opened: no pickle runs.
"""

from weights.manifest import MANIFEST, WeightsError
from weights.modules import load, load_config, load_file, load_tensors, save, shared
from weights.store import Offline, fetch

__all__ = [
    "MANIFEST",
    "Offline",
    "WeightsError",
    "fetch",
    "load",
    "load_config",
    "load_file",
    "load_tensors",
    "save",
    "shared",
]
