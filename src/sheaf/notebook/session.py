"""What a notebook is connected to, and which bundles it has taken up."""

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

__all__ = ["Session", "Used"]


@dataclass(frozen=True, slots=True)
class Used:
    """A bundle that the notebook has as a variable, and the folder where its files are, if they are anywhere."""

    name: str
    bundle: Bundle
    folder: Path | None = None

    @property
    def address(self) -> str:
        """The bundle, so that it can be found again."""
        return f"{self.bundle.repo_name}@bundle:{self.bundle.id}"

    @property
    def variables(self) -> dict[str, object]:
        """What the notebook's namespace gets."""
        return {self.name: self.bundle} | ({f"{self.name}_folder": self.folder} if self.folder else {})


class Session:
    """One notebook's. The store is connected when it is first needed."""

    def __init__(self) -> None:
        self._url: str | None = None
        self._store: Store | None = None
        self.used: dict[str, Used] = {}

    @property
    def store(self) -> Store:
        """The store: the one that was chosen, else that of the command line."""
        if self._store is None:
            self._store = connect(self._url)
        return self._store

    def choose(self, url: str) -> Store:
        """Use another store from now on. Raises NotFound."""
        store = connect(url)
        self.close()
        self._url, self._store = url, store
        return store

    def bundle(self, address: str) -> tuple[Bundle, Address]:
        """The bundle that an address names, and the address. Raises NotFound, InvalidInput."""
        at = parse_address(address)
        return self.store.repo(at.repo).bundle(at.ref), at

    def use(self, address: str, name: str | None, folder: Path | None, mount: Path | None) -> Used:
        """Take a bundle up: as a variable, and as a folder (made equal to it) or a mount if there is to be one."""
        bundle, at = self.bundle(address)
        name = name or re.sub(r"\W", "_", at.repo.rsplit("/", 1)[-1])
        if not name.isidentifier():
            raise InvalidInput(f"'{name}' can't name a variable", "give a name: %sheaf use REPO@REF NAME")
        if folder is not None:
            bundle.update(folder) if folder.exists() and any(folder.iterdir()) else bundle.download(folder)
        if mount is not None:
            mounting.mount(bundle, mount, self._url)
        used = self.used[name] = Used(name, bundle, folder or mount)
        return used

    def close(self) -> None:
        """Let go of the store."""
        store, self._store = self._store, None
        self.used.clear()
        if store is not None:
            store.close()
