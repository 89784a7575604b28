"""Manifests: the tree of nodes that lists a bundle's files, read, written and compared."""
