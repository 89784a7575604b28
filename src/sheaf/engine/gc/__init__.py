"""Garbage collection concurrent with writers: mark, sweep, repack."""
