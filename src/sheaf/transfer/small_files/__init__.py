"""Small files, read, hashed and compressed by processes of their own (docs/decisions/0009)."""
