"""The store and the bundles that a notebook uses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sheaf.errors import InvalidInput
from sheaf.model.refs import Address, parse_address
from sheaf.notebook import mounting
from sheaf.repo.bundle import Bundle
from sheaf.repo.connect import connect
from sheaf.repo.store import Store

__all__ = ["NotebookSession", "Used"]


@dataclass(frozen=True, slots=True)
class Used:
    """A bundle bound to a variable of the notebook, and the folder with its files, if any."""

    name: str
    bundle: Bundle
    folder: Path | None = None

    @property
    def address(self) -> str:
        """The address of the bundle."""
        return f"{self.bundle.repo_name}@bundle:{self.bundle.id}"

    @property
    def variables(self) -> dict[str, object]:
        """The variables for the notebook's namespace, by name."""
        return {self.name: self.bundle} | ({f"{self.name}_folder": self.folder} if self.folder else {})


class NotebookSession:
    """The store of a notebook, opened on first use, and the bundles in use."""

    def __init__(self) -> None:
        self._url: str | None = None
        self._store: Store | None = None
        self.used: dict[str, Used] = {}

    @property
    def store(self) -> Store:
        """The chosen store, or the store of the command line."""
        if self._store is None:
            self._store = connect(self._url)
        return self._store

    def choose(self, url: str) -> Store:
        """Switch to another store. Raises NotFound."""
        store = connect(url)
        self.close()
        self._url, self._store = url, store
        return store

    def bundle(self, address: str) -> tuple[Bundle, Address]:
        """Return the bundle of an address, and the parsed address. Raises NotFound, InvalidInput."""
        at = parse_address(address)
        return self.store.repo(at.repo).bundle(at.ref), at

    def use(self, address: str, name: str | None, folder: Path | None, mount: Path | None) -> Used:
        """Bind a bundle to a variable, and optionally update a folder to it or mount it."""
        bundle, at = self.bundle(address)
        name = name or re.sub(r"\W", "_", at.repo.rsplit("/", 1)[-1])
        if not name.isidentifier():
            raise InvalidInput(f"'{name}' is not a valid variable name", "add a name: %sheaf use REPO@REF NAME")
        if folder is not None:
            bundle.update(folder) if folder.exists() and any(folder.iterdir()) else bundle.download(folder)
        if mount is not None:
            mounting.mount(bundle, mount, self._url)
        used = self.used[name] = Used(name, bundle, folder or mount)
        return used

    def close(self) -> None:
        """Close the store."""
        store, self._store = self._store, None
        self.used.clear()
        if store is not None:
            store.close()
