"""Garbage collection beside live writers: mark, sweep, repack."""
