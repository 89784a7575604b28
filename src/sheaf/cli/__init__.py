"""The command line: ``sheaf``, and ``datamon`` for users of Datamon.

A thin user of the Python API. Only this layer reads the environment, the home folder and the terminal, and only this
layer prints.
"""
