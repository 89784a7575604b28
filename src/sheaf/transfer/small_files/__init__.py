"""Read, hash and compress small files in separate processes (docs/decisions/0009)."""
