"""What is settled before and around Gradio, so that the app starts anywhere, and soon."""

from __future__ import annotations

import atexit
import functools
import gc
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from demos import holding
from demos.holding import FOLDER

HERE = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
PATIENCE = 120.0  # s, for the app's own first page


def settle() -> None:
    """Set what Gradio reads; what the user has set stays."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # After every event Gradio sums up the last ten thousand for a page that nobody opens.
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
    _reach_this_machine()
    _own_folder()
    _NoInterfaceFiles.settle()


def outlast_restarts() -> None:
    """Serve from a folder which the next start takes over, so that what was handed out holds.

    A folder that the user has set stays, with what was handed out there.
    """
    own = _temporary.cache_info().currsize and _temporary()
    if not own or os.environ[FOLDER] != own.name:
        return
    try:
        os.environ[FOLDER] = str(holding.claim())
    except OSError as error:
        logging.getLogger(__name__).warning(
            "Downloads will not outlast a restart (%s). Set %s to a folder of your own.",
            error, FOLDER,
        )  # fmt: skip
    else:
        own.cleanup()


def import_gradio() -> None:
    """Import Gradio without looking for garbage on the way, a fifth of the time: there is none."""
    collecting = gc.isenabled()
    gc.disable()
    from gradio import networking

    networking.url_ok = answers
    gc.freeze()  # what it made stays, and is not looked through later either
    if collecting:
        gc.enable()


def answers(url: str) -> bool:
    """Whether the app answers at its own address, which Gradio asks at the end of each start.

    Gradio itself waits 3 s and then ends the app: its first page takes longer on a busy machine.
    """
    import httpx  # as late as Gradio itself

    try:
        status = httpx.head(url, timeout=PATIENCE, verify=False).status_code
    except httpx.TransportError:
        return False
    return status < 400 or status == 401  # asks for a password


@contextmanager
def one_server() -> Iterator[None]:
    """While pages are built: no server and no description of all, which the next page replaces.

    Gradio makes both at the end of each page; the queue and the launch, after all, make them again.
    """
    from gradio.blocks import Blocks
    from gradio.routes import App

    described, served = Blocks.get_config_file, App.create_app
    Blocks.get_config_file = lambda *_, **__: {}
    App.create_app = staticmethod(lambda *_, **__: None)
    try:
        yield
    finally:
        Blocks.get_config_file, App.create_app = described, staticmethod(served)


def _reach_this_machine() -> None:
    """Leave the proxy out for this machine: at its start the server asks itself."""
    told = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in told.split(",") if host.strip()]
    if "*" not in hosts:
        wanted = ",".join([*hosts, *(host for host in HERE if host not in hosts)])
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = wanted


def _own_folder() -> None:
    """A folder of this process for what visitors send and see, which goes with it."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = _temporary().name


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory:
    folder = tempfile.TemporaryDirectory(prefix="gradio-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return folder


class _NoInterfaceFiles(MetaPathFinder):
    """Keeps Gradio from writing a .pyi file, for editors, beside every class of components.

    It parses and renders all of them again at each start: half of the seconds of its import.
    """

    MODULE = "gradio.component_meta"

    @classmethod
    def settle(cls) -> None:
        if cls.MODULE not in sys.modules and not any(isinstance(f, cls) for f in sys.meta_path):
            sys.meta_path.insert(0, cls())

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module as it is found elsewhere, with its writer of files taken out once it ran."""
        if name != self.MODULE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def run_without_writer(module: ModuleType) -> None:
            run(module)
            module.create_or_modify_pyi = lambda *_: None

        spec.loader.exec_module = run_without_writer
        return spec
