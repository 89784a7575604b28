"""Folders of this machine: scanned, compared and named without following symlinks."""
