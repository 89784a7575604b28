"""Backends that wrap another backend, each changing one thing about it."""
