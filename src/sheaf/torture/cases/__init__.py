"""Test cases for all backends: plain functions of a :class:`~sheaf.torture.trial.Trial`."""
