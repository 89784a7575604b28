"""Bytes in and out: cut, compressed, deduplicated, packed, read and verified."""
