"""Manifests: read, write and compare the tree of nodes that lists a bundle's files."""
