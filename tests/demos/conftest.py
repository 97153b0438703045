"""The app with the fake pipeline, served once for all tests of the pages."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest

import app
from demos import theme
from tests.demos.fake_pipeline import FakeInDomain


@pytest.fixture(scope="session")
def fake() -> FakeInDomain:
    return FakeInDomain()


@pytest.fixture(scope="session")
def served(fake):
    """The address of the running app."""
    demo = app.build(lambda: fake)
    _, url, _ = demo.launch(**theme.LAUNCH, prevent_thread_lock=True, quiet=True)
    yield url.rstrip("/")
    demo.close()
