"""Many visitors at once on two cores: the real app, its real networks, and what everyone saw."""
