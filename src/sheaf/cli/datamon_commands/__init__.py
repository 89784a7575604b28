"""Verbs that ``datamon`` has in a form of its own, its settings, and what its downloads leave."""
