"""What must be in the environment before Gradio is imported, so that the app starts anywhere."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

HERE = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
FOLDER = "GRADIO_TEMP_DIR"


def settle() -> None:
    """Set what Gradio reads; what the user has set stays."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    _reach_this_machine()
    _own_folder()


def _reach_this_machine() -> None:
    """Leave the proxy out for this machine: at its start the server asks itself."""
    told = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in told.split(",") if host.strip()]
    if "*" not in hosts:
        wanted = ",".join([*hosts, *(host for host in HERE if host not in hosts)])
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = wanted


def _own_folder() -> None:
    """A folder of this process for uploads where the shared one is another user's."""
    shared = Path(tempfile.gettempdir(), "gradio")
    if FOLDER not in os.environ and shared.exists() and not os.access(shared, os.W_OK | os.X_OK):
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="gradio-")
