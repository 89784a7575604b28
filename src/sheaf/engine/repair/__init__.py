"""Repair what a check has found."""
