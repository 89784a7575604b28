"""Rounds with whole stores: several clients, calls that fail, processes that are killed."""
