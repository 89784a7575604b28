"""The command line: ``sheaf``, and ``datamon`` for those who come from there.

A thin user of the Python API. The only layer that reads the environment, the home folder and the terminal, and the
only one that prints.
"""
