"""What holds for all tests, settled before they import Gradio and torch."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

PORTS = 100  # that Gradio tries, from its first one on


def pytest_configure(config: pytest.Config) -> None:
    """A folder of this process for the pages' files; of several processes, one thread each.

    Gradio names a file by what is in it, and an app that ends deletes what its visitors made: in a
    folder for all, also the same picture that another process shows.
    """
    folder = tempfile.mkdtemp(prefix="gradio-tests-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["GRADIO_TEMP_DIR"] = folder
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if worker:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("GRADIO_SERVER_PORT", str(7860 + PORTS * (1 + int(worker))))
