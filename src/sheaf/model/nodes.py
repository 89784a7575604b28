"""Pointers into a manifest tree."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Pointer"]


@dataclass(frozen=True, slots=True)
class Pointer:
    """A manifest node as its parent (or, for a root, the log) knows it; enough to fetch and check it with one GET.

    ``id``: BLAKE3 of the node's bytes, ``length`` of them. ``level``: 0 for a leaf. ``prefix``: the longest folder
    common to all its rows; keys inside are relative to it. ``rows``: entries below, ``size``: sum of their sizes in
    bytes. ``logical``: hash of what a version is made of; ``full``: also of mode, mtime, size, attributes.
    ``folder``, ``name``: the first row's key (not known of a root). ``packs``: packs that a leaf needs, with the bytes
    that it uses of each (empty for inner nodes, and not known of a root).
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
