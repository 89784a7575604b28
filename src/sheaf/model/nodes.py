"""Pointers into a manifest tree."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Pointer"]


class Pointer(Struct, frozen=True):
    """A pointer to a manifest node, from its parent or (for a root) the log: enough to fetch and check it with one GET.

    ``id``: BLAKE3 of the node's bytes, ``length`` of them. ``level``: 0 for a leaf. ``prefix``: the longest folder
    common to all its rows; keys inside are relative to it. ``rows``: entries below, ``size``: sum of their sizes in
    bytes. ``logical``: hash of what makes up a version; ``full``: also of mode, mtime, size, attributes.
    ``folder``, ``name``: the first row's key (unknown for a root). ``packs``: packs that a leaf needs, with the bytes that it
    uses of each (empty for inner nodes, unknown for a root).
    """

    id: bytes
    length: int
    level: int
    prefix: str
    rows: int
    size: int
    logical: bytes
    full: bytes
    folder: str = ""
    name: str = ""
    packs: tuple[tuple[bytes, int], ...] = ()
