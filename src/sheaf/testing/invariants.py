"""Conditions that must always hold for a store."""

from __future__ import annotations

from sheaf.torture.whole_store.claims import claim
from sheaf.torture.whole_store.store_invariants import assert_complete, assert_refs_resolve, assert_sound, assert_tree

__all__ = ["assert_complete", "assert_refs_resolve", "assert_sound", "assert_tree", "claim"]
