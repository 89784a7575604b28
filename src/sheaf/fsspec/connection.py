"""The store of a file system: opened on first use, and the refs that its paths name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sheaf.errors import Ambiguous, InvalidInput, NotFound
from sheaf.fork import RLock
from sheaf.fsspec.os_errors import read_only
from sheaf.fsspec.url import SheafUrl
from sheaf.model.records import Author
from sheaf.model.refs import Ref, parse_ref
from sheaf.repo.bundle import Bundle
from sheaf.repo.connect import connect
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.repo.values import RepoInfo
from sheaf.storage.storage_options import StorageOptions

__all__ = ["MAIN", "Connection", "Options"]

MAIN = "main"  #: the branch that the first write creates; mkdir creates others
_PINNED = 64


@dataclass(frozen=True, slots=True)
class Options:
    """How to open the store. ``store``: its URL, None for the store of the command line."""

    store: str | None = None
    cache: str | None = None
    name: str | None = None
    email: str = ""
    storage: Mapping[str, str] = field(default_factory=dict)

    def connect(self) -> Store:
        """Open the store. Raises NotFound and errors of the storage."""
        storage = StorageOptions().merged(dict(self.storage)) if self.storage else None
        author = Author(self.name, self.email) if self.name is not None else None
        return connect(self.store, options=storage, cache=Path(self.cache) if self.cache else None, author=author)


class Connection:
    """The connection to a store. Safe to use from many threads, and in a forked process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._store: Store | None = None
        self._lock = RLock()
        self._repos: dict[str, Repo] = {}
        self._pinned: dict[str, Bundle] = {}

    @property
    def store(self) -> Store:
        """The store, connected on first use."""
        with self._lock:
            if self._store is None:
                self._store = self._options.connect()
                self._repos, self._pinned = {}, {}
            return self._store

    def repos(self) -> list[RepoInfo]:
        """Return all repos, sorted by name."""
        with self._lock:
            return self.store.repos()

    def repo(self, name: str) -> Repo:
        """Return a repo by its name. Raises NotFound."""
        with self._lock:
            found = self.store.repo(name)
            # The repo that was opened first has read its log already: don't read it again.
            return self._repos.setdefault(found.id, found)

    def bundle(self, at: SheafUrl) -> Bundle:
        """Return the bundle of a location; for a branch or label, the one it points to now. Raises NotFound, Ambiguous."""
        with self._lock:
            if at.bundle in self._pinned:
                return self._pinned[at.bundle]
            bundle = self.repo(at.repo).bundle(at.ref)
            if parse_ref(at.ref or "").form == "bundle":
                while len(self._pinned) >= _PINNED:
                    self._pinned.pop(next(iter(self._pinned)))
                self._pinned[at.bundle] = bundle
            return bundle

    def refs(self, name: str) -> list[str]:
        """Return the refs of a repo as written in paths: branches, then labels."""
        with self._lock:
            repo = self.repo(name)
            branches, labels = [b.name for b in repo.branches()], [label.name for label in repo.labels()]
            return [
                *(f"branch:{ref}" if ref in labels else ref for ref in branches),
                *(f"label:{ref}" if ref in branches else ref for ref in labels),
            ]

    def branch(self, at: SheafUrl) -> str | None:
        """Return the name of a location's branch, which need not exist; None if its ref is not a branch.

        Raises Ambiguous if a label has that name too.
        """
        ref = parse_ref(at.ref or "")
        if ref.back or ref.form not in ("name", "branch"):
            return None
        with self._lock:
            repo = self.repo(at.repo)
            is_label = ref.form == "name" and any(label.name == ref.name for label in repo.labels(ref.name))
            is_branch = any(branch.name == ref.name for branch in repo.branches())
            if not is_label:
                return None if not is_branch and _is_bundle(repo, ref) else ref.name
            if is_branch:
                raise Ambiguous(f"'{ref.name}' is both a label and a branch of {at.repo}", f"write branch:{ref.name}")
            return None

    def head(self, repo: Repo, branch: str) -> Bundle | None:
        """Return the bundle that a branch points to, None if it does not exist."""
        with self._lock:
            try:
                return repo.bundle(f"branch:{branch}")
            except NotFound:
                return None

    def check_writable(self, at: SheafUrl) -> str:
        """Return the name of the branch to write to. Raises OSError (EROFS) for other refs, InvalidInput without a ref."""
        if at.ref is None:
            raise InvalidInput(f"'{at}' does not name a bundle", f"write sheaf://{at.repo or 'REPO'}@{MAIN}/PATH")
        branch = self.branch(at)
        if branch is None:
            raise read_only(at, f"'{at.ref}' is not a branch; write to a branch, such as {at.repo}@{MAIN}")
        return branch

    def close(self) -> None:
        """Close the store's connections. The next use opens it again."""
        with self._lock:
            store, self._store = self._store, None
            if store is not None:
                store.close()
            self._repos, self._pinned = {}, {}


def _is_bundle(repo: Repo, ref: Ref) -> bool:
    """True if a ref that names no label and no branch is the beginning of a bundle's id."""
    try:
        return ref.form == "name" and bool(repo.bundle(ref.name))
    except NotFound:
        return False
