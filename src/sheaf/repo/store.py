"""A store: all repos of one location."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec.structs import replace

from sheaf import engine, transfer
from sheaf.engine.clock import Clock, SystemClock, parse_time
from sheaf.engine.context import Connected, Context
from sheaf.engine.core import Core, open_store
from sheaf.engine.core_limits import DEFAULT, Limits
from sheaf.engine.object_cache import Cache, FolderCache, NoCache, room_of
from sheaf.engine.replicas.object_kinds import replica_id
from sheaf.engine.replicas.replicated_backend import ReplicatedBackend, ensure_primary
from sheaf.errors import (
    AlreadyExists,
    Corrupt,
    NotFound,
    Refused,
    SheafError,
)
from sheaf.fork import Threads
from sheaf.format import keys
from sheaf.format.session_v1 import Session
from sheaf.format.store_v1 import StoreConfig
from sheaf.model.ids import parse_hash
from sheaf.model.names import check_repo_name
from sheaf.model.records import Author, CreateRepo, RepoEntry
from sheaf.repo.access.known_replicas_file import remember
from sheaf.repo.access.succession import Succession
from sheaf.repo.access.unlock import Opener
from sheaf.repo.repo import Repo
from sheaf.repo.values import RepoInfo, StoreInfo
from sheaf.storage.open import open_backend
from sheaf.storage.port import Backend

if TYPE_CHECKING:
    from sheaf.engine.check.check import CheckReport
    from sheaf.engine.gc.collect import Collected
    from sheaf.engine.gc.store_sizes import Sizes
    from sheaf.engine.replicas.catchup import Caught
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.search import FoundFile
    from sheaf.repo.store_erasure import Erasure
    from sheaf.repo.store_keys import Keys
    from sheaf.repo.store_replicas import Replicas
    from sheaf.repo.store_runs import Runs
    from sheaf.transfer.progress import Progress

__all__ = ["Store"]

_warn = logging.getLogger("sheaf").warning


class Store:
    """An open store. As a context manager it closes its connections at the end."""

    def __init__(
        self,
        backend: Backend,
        *,
        author: Author | None = None,
        cache: Path | None = None,
        clock: Clock | None = None,
        open_location: Callable[[str], Backend] | None = None,
        unlock: Opener | None = None,
        limits: Limits = DEFAULT,
        config: StoreConfig | None = None,
    ) -> None:
        """``config``: that of the store if the caller has just created it, since it never changes."""
        with Threads(1) as ahead:  # what is true now is listed while what never changes is read
            listed = ahead.submit(backend.newest, f"{keys.STORE_LOG}log/")
            config = config or open_store(backend)
        local = backend.url.startswith(("file:", "memory:"))
        place = f"{config.id}-{replica_id(backend.url)}"  # a log may go on differently in another place
        copies = FolderCache(cache / "objects" / place, room_of(cache)) if cache and not local else NoCache()
        clock, self._open = clock or SystemClock(), open_location or open_backend
        whole = ReplicatedBackend(backend, self._open, config, clock, _warn)
        self._opened = (unlock or Opener()).open(whole, config)
        backend = self._opened.backend if self._opened else whole
        self._core = Core(backend, config, author or Author(), copies, clock, limits=limits)
        self._checks: Cache = FolderCache(cache / "checks" / place) if cache else NoCache()
        self._connected = Connected(self._core, cache, whole)
        self._log = self._connected.log
        self._log.expect(listed.result())
        self._connected.ensure_reads_supported()
        if self._log.known is not None:
            whole.resume(self._log.known)
        whole.use(self._log.last.replicas)
        remember(cache, self.url, self._log.last.replicas)
        self._succession = Succession(self.url, config, self._open, _warn)
        self._succession.ask_near(self._log.last)

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @property
    def replicas(self) -> Replicas:
        """The replicas of this store."""
        from sheaf.repo.store_replicas import Replicas

        if self._opened is None:
            return Replicas(self._core, self._open)
        encrypted = self._opened.backend
        return Replicas(replace(self._core, backend=encrypted.inner), self._open, encrypted.over)

    @property
    def erasure(self) -> Erasure:
        """The erasure of contents and rows, and its records."""
        from sheaf.repo.store_erasure import Erasure

        return Erasure(self._connected, self.repo, self._pass_on)

    @property
    def runs(self) -> Runs:
        """The runs that this store records."""
        from sheaf.repo.store_runs import Runs

        return Runs(self._connected)

    @property
    def is_encrypted(self) -> bool:
        """True if the store is encrypted."""
        return self._opened is not None

    @property
    def keys(self) -> Keys:
        """The keys of this encrypted store. Raises Refused if it is not encrypted."""
        from sheaf.repo.store_keys import Keys  # takes an optional library

        if self._opened is None:
            raise Refused(
                f"the store at {self.url} is not encrypted",
                "create one with `sheaf store init --encrypt`",
            )
        backend = self._opened.backend.inner

        def ensure_writable() -> None:
            self._connected.ensure_writable()
            ensure_primary(backend, self._log.last.epoch)

        return Keys(backend, self._opened.key, self._opened.slot, self._core.clock, ensure_writable)

    @property
    def connected(self) -> Connected:
        """The internal parts of the store, for other interfaces of Sheaf."""
        return self._connected

    @property
    def url(self) -> str:
        """The URL of the store."""
        return self._core.backend.url

    @property
    def id(self) -> str:
        """The id of the store; it never changes."""
        return self._core.config.id

    def info(self) -> StoreInfo:
        """Return facts about the store; lists all its objects. Warns if a replica was promoted in the meantime."""
        state, config = self._log.head().state, self._core.config
        self._succession.ask_all(state)
        objects: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for stat in self._core.backend.list():
            kind = stat.key.split("/")[0]
            objects[kind] = objects.get(kind, 0) + 1
            sizes[kind] = sizes.get(kind, 0) + stat.size
        alive = sum(not repo.deleted for repo in state.repos.values())
        return StoreInfo(
            config.id,
            self.url,
            parse_time(config.created),
            msgspec.to_builtins(config.chunker),
            state.read_features,
            state.write_features,
            alive,
            dict(sorted(objects.items())),
            dict(sorted(sizes.items())),
        )

    def sizes(self) -> Sizes:
        """Return the size of all repos, deduplicated, and as stored (including garbage that gc has not deleted yet)."""
        return engine.store_sizes(self._core)

    def check(
        self,
        *,
        read_data: bool | float = False,
        resume: bool = False,
        repo: str | None = None,
        progress: Progress | None = None,
    ) -> CheckReport:
        """Check the structure of the store, and optionally its data. Warns if a replica was promoted in the meantime.

        Args:
            read_data: also read every byte of every pack. A number from 0 to 1: read this part of the packs, those
                first that were read longest ago (recorded in this user's cache).
            resume: continue an interrupted check of all data.
            repo: check only this repo.

        Raises:
            NotFound: no such repo.
            InvalidInput: ``read_data`` is not between 0 and 1.
        """

        seed = "" if isinstance(self._checks, FolderCache) else self._core.clock.new_id()
        reading = engine.PackSelection(float(read_data), resume, seed, self._checks)
        only = self.repo(repo).id if repo else None
        self._succession.ask_all(self._log.last)
        report = engine.check_store(self._core, reading=reading, repo=only, on_progress=transfer.count_to(progress))
        engine.name_files(self._core, report, only)
        return report

    def wait_for(
        self,
        repo: str,
        *,
        label: str | None = None,
        branch: str | None = None,
        after: str | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Bundle:
        """Wait as :meth:`sheaf.Repo.wait_for` does, for a repo that need not exist yet; return the bundle."""
        polling = transfer.Polling(timeout)
        choice = {"label": label, "branch": branch, "after": after}
        found = transfer.wait_for(self._connected, repo, **choice, polling=polling, progress=progress)
        return self.repo(repo).bundle(f"bundle:{found.id}")

    def repos(self) -> list[RepoInfo]:
        """All repos, sorted by name."""
        alive = [entry for entry in self._log.head().state.repos.values() if not entry.deleted]
        return [self._repo(entry).info for entry in sorted(alive, key=lambda entry: entry.name)]

    def repo(self, name: str) -> Repo:
        """Return the repo with this name. Raises NotFound."""
        check_repo_name(name)
        guess = self._log.last.find(name)
        context = Context(self._connected, guess) if guess else None
        ahead = (
            self._core.io.submit(context.log.prefetch) if context else None
        )  # most guesses are right: a round trip less
        entry = self._log.head().state.find(name)
        if ahead is not None and ahead.exception() is not None:
            context = None
        if entry is None:
            raise NotFound(f'didn\'t find repo "{name}"', "see `sheaf repo list`, or run `sheaf repo create`")
        return Repo(context) if context and entry == guess else self._repo(entry)

    def repo_of(self, folder: str | Path) -> Repo:
        """Return the repo that a downloaded folder came from. Raises NotFound if this machine has no record of it."""
        return self._repo(transfer.repo_entry_of(self._connected, Path(folder)))

    def create_repo(self, name: str, description: str = "") -> Repo:
        """Create a repo. Raises AlreadyExists, InvalidInput."""
        check_repo_name(name)
        self._connected.ensure_writable()
        made = CreateRepo(self._core.clock.new_id(), name, description)
        return self._repo(self._log.append(lambda head: (made,)).state.repos[made.id])

    def delete_repo(self, name: str) -> str:
        """Delete a repo; gc deletes its data later. Returns its id. Raises NotFound."""
        repo = self.repo(name)
        repo.delete()
        return repo.id

    def deleted_repos(self, *, restorable: bool = False) -> list[RepoInfo]:
        """Return the deleted repos, sorted by name and time of deletion.

        Args:
            restorable: only repos whose data gc has not begun to delete.
        """
        gone = [entry for entry in self._log.head().state.repos.values() if entry.deleted]
        left = engine.restorable_repos(self._core, gone) if restorable else gone
        return [self._repo(entry).info for entry in sorted(left, key=lambda entry: (entry.name, entry.deleted))]

    def undelete_repo(self, which: str, *, name: str | None = None) -> Repo:
        """Restore a deleted repo. Possible only until gc deletes its data.

        Args:
            which: its id, or its name if only one deleted repo with that name can be restored.
            name: restore it under this name.

        Raises:
            NotFound: no deleted repo has this name or id.
            Ambiguous: several deleted repos have this name; the message lists their ids.
            AlreadyExists: the name is used by another repo.
            Refused: gc has deleted data of one of its bundles, or is about to.
        """

        self._connected.ensure_writable()
        entry = engine.find_deleted_repo(self._core, which)
        try:
            return self._repo(engine.restore_repo(self._core, entry, check_repo_name(name or entry.name)))
        except AlreadyExists as error:
            raise AlreadyExists(error.message, "restore it under another name with --as NAME") from error

    # -- garbage -------------------------------------------------------------------------------------------------------

    def gc(
        self,
        *,
        grace: float = 3600.0,
        dry_run: bool = False,
        wait: bool = True,
        below: float = 0.5,
        keep_deleted: float = 0.0,
        on_wait: Callable[[list[Session]], None] | None = None,
    ) -> Collected:
        """Delete data that no bundle needs. Safe to run while the store is in use.

        Waits for uploads that began before. An upload that is still open after the grace is ended; it can be run again.

        Args:
            grace: how long to wait for uploads that are open before they are ended, in seconds.
            dry_run: only report what would be deleted.
            wait: False: do not wait; leave the rest to a later gc.
            below: repack packs of which less than this part is needed.
            keep_deleted: how long deleted bundles and repos stay restorable, in seconds since their deletion. A
                generation begun by another gc is finished with the value of that gc.
            on_wait: called every few seconds with the sessions that gc waits for.

        Raises:
            Conflict: another gc ended this one; run it again.
            Corrupt: a bundle is unreadable; nothing was deleted.
        """

        if not dry_run:
            self._connected.ensure_writable()
        patience = engine.GracePeriod(grace, wait, on_wait or (lambda sessions: None))
        try:
            done = engine.collect(self._core, patience, dry_run=dry_run, below=below, keep_deleted=keep_deleted)
        except Corrupt as damage:
            raise self._explained(damage) from damage
        if not dry_run and (error := self._pass_on()):
            _warn(f"{error.message}: deleted data stays there until `sheaf store replicate --prune`")
        return done

    def _explained(self, error: Corrupt) -> Corrupt:
        """With a hint that says which bundles are in the way, if that is known."""
        repos = [self._repo(entry) for entry in self._log.last.repos.values() if not entry.deleted]
        try:
            aside = [f"{repo.name}@{id}" for repo in repos for id in repo.quarantined()]
        except SheafError:
            return error
        if not aside:
            return error
        return Corrupt(
            error.message, f"repair or delete the quarantined bundles: {', '.join(aside[:3])}, see `sheaf store repair`"
        )

    def _pass_on(self) -> SheafError | None:
        """Delete in replicas what was deleted here; returns what kept one of them from it."""
        try:
            if self._log.head().state.replicas:
                for url, caught in self.replicas.replicate().items():
                    self._warn_left(url, caught)
        except SheafError as error:
            return error
        return None

    def _warn_left(self, url: str, caught: Caught) -> None:
        if left := [f"{found.name} ({found.kept})" for found in caught.unfinished if found.kept]:
            _warn(f"replica {url} keeps unfinished writes until `sheaf store replicate`: {', '.join(left)}")

    def find(
        self,
        pattern: str = "**",
        *,
        content: str | None = None,
        repo: str | None = None,
        branch: str | None = None,
        meta: Mapping[str, str] | None = None,
    ) -> Iterator[FoundFile]:
        """Find files and symlinks in all bundles; yields them as they are found.

        Args:
            pattern: paths: ``*`` matches within one folder, ``**`` across folders.
            content: a content hash, as printed by `b3sum`.
            repo: search only this repo.
            branch: search only the history of this branch.
            meta: search only bundles with this metadata.

        Raises:
            NotFound: the repo does not exist, or does not have the branch.
        """
        from sheaf.repo.search import bundles_of, find_in

        wanted = parse_hash(content) if content is not None else None
        repos = map(self.repo, [repo] if repo else [info.name for info in self.repos()])
        bundles = bundles_of(repos, branch, meta or {}, must_have_branch=repo is not None)
        return find_in(self._connected.nodes, bundles, pattern, wanted)

    # -- plumbing ------------------------------------------------------------------------------------------------------

    def _repo(self, entry: RepoEntry) -> Repo:
        return Repo(Context(self._connected, entry))

    def close(self) -> None:
        """Close connections and threads."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
