"""Sizes and their ratios, as text and JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sheaf.cli.output.text import count_of, human_size

if TYPE_CHECKING:
    from sheaf.api import Sizes

__all__ = ["size_line", "size_record"]


def size_line(sizes: Sizes) -> str:
    """Sizes and ratios as one line of text."""
    parts = f"{human_size(sizes.logical)} in {count_of(sizes.bundles, 'bundle')}, {human_size(sizes.unique)} unique"
    ratios = f"dedup {sizes.dedup_ratio:.2f}, compression {sizes.compression_ratio:.2f}"
    return f"{parts}, {human_size(sizes.stored)} stored ({ratios})"


def size_record(sizes: Sizes) -> dict[str, Any]:
    """Sizes and ratios as a record for JSON."""
    ratios = {"dedup_ratio": sizes.dedup_ratio, "compression_ratio": sizes.compression_ratio}
    return {**dataclasses.asdict(sizes), **ratios}
