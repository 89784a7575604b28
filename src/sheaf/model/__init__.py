"""Values: ids, names, paths, entries, bundles, refs, logs. All are frozen; this layer has no I/O, clock or randomness."""
