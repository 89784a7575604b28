"""Backends in front of another backend, each changing one thing about it."""
