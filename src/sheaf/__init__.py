"""Sheaf: versioned data for machine-learning teams.

    import sheaf

    store = sheaf.connect("file:///data/store", create=True)
    repo = store.create_repo("faces")
    bundle = repo.upload("photos", message="first", label="init").bundle
    repo.bundle("init").download("/tmp/copy")

Names are imported when they are first used, so that ``import sheaf`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sheaf.errors import SheafError
    from sheaf.model.records import Author
    from sheaf.pins.pinned_folders import Pins
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.connect import connect, init
    from sheaf.repo.diamond import Diamond
    from sheaf.repo.edit import Edit
    from sheaf.repo.repo import Repo, Upload
    from sheaf.repo.store import Store
    from sheaf.repo.values import Branch, Change, Entry, Label
    from sheaf.storage.storage_options import StorageOptions

_WHERE = {
    "Author": "sheaf.model.records",
    "Branch": "sheaf.repo.values",
    "Bundle": "sheaf.repo.bundle",
    "Change": "sheaf.repo.values",
    "Diamond": "sheaf.repo.diamond",
    "Edit": "sheaf.repo.edit",
    "Entry": "sheaf.repo.values",
    "Label": "sheaf.repo.values",
    "Pins": "sheaf.pins.pinned_folders",
    "Repo": "sheaf.repo.repo",
    "SheafError": "sheaf.errors",
    "StorageOptions": "sheaf.storage.storage_options",
    "Store": "sheaf.repo.store",
    "Upload": "sheaf.repo.repo",
    "connect": "sheaf.repo.connect",
    "init": "sheaf.repo.connect",
}

__all__ = [
    "Author",
    "Branch",
    "Bundle",
    "Change",
    "Diamond",
    "Edit",
    "Entry",
    "Label",
    "Pins",
    "Repo",
    "SheafError",
    "StorageOptions",
    "Store",
    "Upload",
    "__version__",
    "connect",
    "init",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'sheaf' has no attribute '{name}'")
    return getattr(importlib.import_module(_WHERE[name]), name)


def load_ipython_extension(shell: Any) -> None:
    """What ``%load_ext sheaf`` calls."""
    importlib.import_module("sheaf.notebook.extension").load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """What ``%unload_ext sheaf`` calls."""
    importlib.import_module("sheaf.notebook.extension").unload(shell)
