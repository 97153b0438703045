"""The procedural domain, and stored results of the pages."""

import pipelines  # noqa: F401 - decides how OpenMP waits, before the renderer's numba loads it
