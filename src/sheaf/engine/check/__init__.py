"""Check every invariant of a store, without changing it."""
