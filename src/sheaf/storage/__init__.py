"""Store bytes under keys: the port, its backends, and wrappers of backends. This layer does not know bundles."""
