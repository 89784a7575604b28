"""Read, hash, cut and compress whole files in separate processes (docs/decisions/0009)."""
