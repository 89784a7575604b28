"""Many bundles in one mount: a repo's refs as folders, or a whole store's repos with their refs below.

Listings contain labels and branches, also new ones; other refs (bundle id, version, ``main~1``) can be opened by name.
A bundle never changes, but the bundle that a name points to may. So the kernel caches such names for one second only.
"""

from __future__ import annotations

import errno
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sheaf.errors import Ambiguous, InvalidInput, NotFound
from sheaf.fork import RLock
from sheaf.mount.bundles import BundleFs, OpenedFiles
from sheaf.mount.fuse.port import ROOT_INO, Attr, Listing, ReadOnly, Space, WaitPolicy, failed, missing
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.port import Buffer

__all__ = ["Catalogue", "CatalogueFs", "OpenBundle", "repo_roots", "store_roots"]

T = TypeVar("T")
OpenBundle = Callable[[Bundle, int], BundleFs]  #: opens a bundle, given what to add to its node numbers
_SLOT_BITS: Final = 40  # bits for the node numbers of one bundle; the bits above are the bundle's slot
_FRESH_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class CatalogueFolder:
    """A folder above the bundles: the repos whose names begin with ``prefix``, and the refs of ``repo``."""

    prefix: str
    repo: str | None


class Catalogue:
    """The folders above the bundles, for a store or for one repo. Lists are cached for a second."""

    def __init__(
        self, open_repo: Callable[[str], Repo], names: Callable[[], Sequence[str]], top: CatalogueFolder
    ) -> None:
        self._open_repo = open_repo
        self._names = names
        self.top = top
        self._known: dict[object, tuple[float, object]] = {}

    def below(self, folder: CatalogueFolder) -> dict[str, CatalogueFolder]:
        """Return the folders of repos that are directly in a folder, by name."""
        if folder.repo is not None and folder is self.top:
            return {}
        found: dict[str, CatalogueFolder] = {}
        names = self._fresh("names", self._names)
        start = f"{folder.prefix}/" if folder.prefix else ""
        for name in names:
            if name.startswith(start) and name != folder.prefix:
                segment = name.removeprefix(start).split("/")[0]
                path = start + segment
                found[segment] = CatalogueFolder(path, path if path in names else None)
        return found

    def refs(self, folder: CatalogueFolder) -> dict[str, tuple[str, int]]:
        """Return labels and branches of a folder's repo: by name, (bundle id, time of the ref in nanoseconds).

        A name that is a label and a branch is listed twice, as ``label:NAME`` and ``branch:NAME``.
        """
        if folder.repo is None:
            return {}
        return self._fresh(folder, lambda: self._named(self._repo(folder)))

    def resolve(self, folder: CatalogueFolder, name: str) -> Bundle | None:
        """Return the bundle that a ref of any kind names, None if there is none or the ref is ambiguous."""
        if folder.repo is None:
            return None
        try:
            return self._repo(folder).bundle(name)
        except (NotFound, InvalidInput, Ambiguous):
            return None

    def _repo(self, folder: CatalogueFolder) -> Repo:
        return self._fresh((folder, "repo"), lambda: self._open_repo(folder.repo or ""))

    @staticmethod
    def _named(repo: Repo) -> dict[str, tuple[str, int]]:
        labels = {label.name: (label.bundle, _ns(label)) for label in repo.labels()}
        branches = {branch.name: (branch.bundle, _ns(branch)) for branch in repo.branches()}
        both = labels.keys() & branches.keys()
        named = {name: at for name, at in (labels | branches).items() if name not in both}
        named |= {f"label:{name}": labels[name] for name in both}
        return named | {f"branch:{name}": branches[name] for name in both}

    def _fresh(self, key: object, ask: Callable[[], T]) -> T:
        now = time.monotonic()
        known = self._known.get(key)
        if known is not None and now - known[0] < _FRESH_S:
            return known[1]  # type: ignore[return-value]
        value = ask()
        self._known[key] = now, value
        return value


def _ns(named: object) -> int:
    return int(named.time.timestamp() * 10**9)  # type: ignore[attr-defined]


def repo_roots(repo: Repo) -> Catalogue:
    """Return roots that show the refs of one repo in the mount's root."""
    return Catalogue(lambda name: repo, lambda: (), CatalogueFolder("", repo.name))


def store_roots(store: Store) -> Catalogue:
    """Return roots that show a store's repos, with a folder for each part of their names."""
    return Catalogue(store.repo, lambda: [repo.name for repo in store.repos()], CatalogueFolder("", None))


@dataclass(frozen=True, slots=True)
class _Now:
    """The listing of a folder of repos and refs at the moment it was opened."""

    found: list[tuple[str, Attr]]
    is_stable: bool = False

    def entries(self, start: int) -> Iterator[tuple[str, Attr, int]]:
        return ((name, attr, start + n) for n, (name, attr) in enumerate(self.found[start:], 1))


class CatalogueFs(ReadOnly):
    """A file system of folders for repos and refs, with bundles below. Thread-safe."""

    def __init__(
        self, roots: Catalogue, open_bundle: OpenBundle, files: OpenedFiles, patience: WaitPolicy, started: int
    ) -> None:
        self._roots = roots
        self._open_bundle = open_bundle
        self._files = files
        self._patience = patience
        self._started = started
        self._lock = RLock()
        self._places: list[CatalogueFolder] = [roots.top]
        self._numbers: dict[CatalogueFolder, int] = {roots.top: ROOT_INO}
        self._slots: dict[tuple[str, str], int] = {}
        self._bundles: dict[int, BundleFs] = {}
        self._origins: dict[int, tuple[CatalogueFolder, str]] = {}

    # -- which is which ------------------------------------------------------------------------------------------------

    def _place(self, ino: int) -> CatalogueFolder | None:
        return self._places[ino - ROOT_INO] if ino < 1 << _SLOT_BITS else None

    def _bundle(self, ino: int) -> BundleFs:
        """Return the file system of the bundle to which a node number belongs. Raises OSError (ESTALE)."""
        slot = ino >> _SLOT_BITS
        fs = self._bundles.get(slot)
        if fs is None:
            self._patience.ask()
            folder, id = self._origins[slot]
            bundle = self._roots.resolve(folder, f"bundle:{id}")
            if bundle is None:
                raise failed(errno.ESTALE)
            fs = self._bundles.setdefault(slot, self._open_bundle(bundle, slot << _SLOT_BITS))
        return fs

    def _root_of(self, folder: CatalogueFolder, id: str, mtime: int) -> Attr:
        with self._lock:
            slot = self._slots.setdefault((folder.repo or "", id), len(self._slots) + 1)
            self._origins.setdefault(slot, (folder, id))
        return Attr((slot << _SLOT_BITS) + ROOT_INO, stat.S_IFDIR | 0o755, 0, mtime, keep=_FRESH_S)

    def _attr_of(self, folder: CatalogueFolder) -> Attr:
        with self._lock:
            if folder not in self._numbers:
                self._places.append(folder)
                self._numbers[folder] = len(self._places) - 1 + ROOT_INO
            ino = self._numbers[folder]
        return Attr(ino, stat.S_IFDIR | 0o755, 0, self._started, keep=_FRESH_S)

    # -- the port ------------------------------------------------------------------------------------------------------

    def lookup(self, parent: int, name: str) -> Attr:
        folder = self._place(parent)
        if folder is None:
            return self._bundle(parent).lookup(parent, name)
        self._patience.ask()
        below = self._roots.below(folder)
        if name in below:
            return self._attr_of(below[name])
        refs = self._roots.refs(folder)
        if name in refs:
            return self._root_of(folder, *refs[name])
        bundle = self._roots.resolve(folder, name)
        if bundle is None:
            raise missing(name)
        return self._root_of(folder, bundle.id, _ns(bundle))

    def getattr(self, ino: int) -> Attr:
        folder = self._place(ino)
        return self._bundle(ino).getattr(ino) if folder is None else self._attr_of(folder)

    def readlink(self, ino: int) -> str:
        return self._bundle(ino).readlink(ino)

    def list(self, ino: int) -> Listing:
        folder = self._place(ino)
        if folder is None:
            return self._bundle(ino).list(ino)
        self._patience.ask()
        found = {name: self._root_of(folder, *at) for name, at in self._roots.refs(folder).items()}
        found |= {name: self._attr_of(below) for name, below in self._roots.below(folder).items()}
        return _Now(sorted(found.items()))

    def open(self, ino: int, *, write: bool = False, truncate: bool = False) -> int:
        if self._place(ino) is not None:
            raise failed(errno.EISDIR)
        return self._bundle(ino).open(ino, write=write, truncate=truncate)

    def is_direct(self, handle: int) -> bool:
        return False

    def read(self, handle: int, offset: int, size: int) -> Buffer:
        return self._files.read(handle, offset, size)

    def release(self, handle: int) -> None:
        self._files.release(handle)

    def space(self) -> Space:
        return Space(0, 0, 0, 0)
