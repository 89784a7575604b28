"""Commits: one writer's session from the first byte to the record."""
