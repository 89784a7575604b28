"""Folders of this machine: scan, compare and name them without following symlinks."""
