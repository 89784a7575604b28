"""Verbs that ``datamon`` has in another form, its settings, and the files that its downloads leave."""
