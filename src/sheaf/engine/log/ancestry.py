"""Ancestors of bundles: those that their parents, and the parents of these, lead to."""

from __future__ import annotations

from collections.abc import Mapping

from sheaf.model.records import BundleRecord

__all__ = ["common_ancestors", "lineage"]


def lineage(known: Mapping[str, BundleRecord], *ids: str) -> set[str]:
    """Return the ids of bundles and all their ancestors. ``known``: by id; others are left out."""
    found: set[str] = set()
    waiting = list(ids)
    while waiting:
        if (id := waiting.pop()) in known and id not in found:
            found.add(id)
            waiting.extend(known[id].parents)
    return found


def common_ancestors(known: Mapping[str, BundleRecord], one: str, other: str) -> list[str]:
    """Return the nearest common ancestors of two bundles, in the order of ``known``: none of them leads to another one.

    There are several if lines of bundles were merged into each other crosswise, and none if they share no history.
    """
    common = lineage(known, one) & lineage(known, other)
    farther = {parent for id in common for parent in known[id].parents}
    return [id for id in known if id in common and id not in farther]
