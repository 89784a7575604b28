"""File contents as chunks: cut, compressed, deduplicated, packed, read and verified."""
