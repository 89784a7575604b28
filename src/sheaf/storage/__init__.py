"""Keys and bytes: the port, its backends and the wrappers on it. Knows nothing of bundles."""
