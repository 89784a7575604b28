"""What must be true of a store at any time, whatever has happened to it."""

from __future__ import annotations

from sheaf.torture.whole_store.claims import claim
from sheaf.torture.whole_store.store_invariants import assert_complete, assert_refs_resolve, assert_sound, assert_tree

__all__ = ["assert_complete", "assert_refs_resolve", "assert_sound", "assert_tree", "claim"]
