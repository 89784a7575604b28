"""A folder into a store: scan, read, store, write a manifest."""
