"""Commits: a writer's session from its first byte to its record."""
