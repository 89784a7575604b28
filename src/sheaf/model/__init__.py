"""What Sheaf talks about: ids, names, paths, entries, bundles, refs, logs. Frozen values; no I/O, no clock, no chance."""
