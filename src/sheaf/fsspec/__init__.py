"""Bundles as an fsspec file system: ``sheaf://repo@ref/path`` for all libraries that use fsspec.

    import pandas as pd
    pd.read_csv("sheaf://acme/datasets/faces@init/labels.csv")

fsspec loads it through an entry point, without an import. The store is the store of the command line;
``storage_options={"store": URL}`` names another.
"""

from sheaf.fsspec.filesystem import SheafFileSystem

__all__ = ["SheafFileSystem"]
