"""Bundles as a file system of Python's world: ``sheaf://repo@ref/path`` for everything that speaks fsspec.

    import pandas as pd
    pd.read_csv("sheaf://acme/datasets/faces@init/labels.csv")

fsspec finds it through an entry point, so nothing has to be imported. The store is the one that the command line uses;
``storage_options={"store": URL}`` names another.
"""

from sheaf.fsspec.filesystem import SheafFileSystem

__all__ = ["SheafFileSystem"]
