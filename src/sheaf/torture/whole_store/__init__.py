"""Rounds with whole stores: several clients, calls that fail, and processes that are killed."""
