"""Repairs of what a check has found."""
