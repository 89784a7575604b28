"""Data to measure with: the same for the same seed, on any machine; a module for each kind."""
