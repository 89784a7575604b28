"""Checks of every invariant of a store; nothing is changed."""
