"""The kernel's side of mounts: the port to FUSE and its two libraries."""
