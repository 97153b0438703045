import pipelines  # noqa: F401 - decides how OpenMP waits, before any test loads torch
