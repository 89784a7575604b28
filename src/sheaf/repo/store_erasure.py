"""Erasure: remove the bytes of contents, or rows of tables, from all of a store; find what that would be; its records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from sheaf import engine, transfer
from sheaf.engine.context import Connected
from sheaf.errors import InvalidInput, SheafError, Unavailable
from sheaf.model.ids import parse_hash
from sheaf.model.refs import parse_address
from sheaf.repo.mount_spills import user_spills

# What follows takes pyarrow and numpy (0.1 s to import); lists of notices and receipts do without it.
if TYPE_CHECKING:
    from sheaf.engine.erase.locate import Similar
    from sheaf.format.session_v1 import ErasedFile, Notice, Receipt, Session
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.repo import Repo
    from sheaf.repo.values import Entry
    from sheaf.transfer.erase_rows import RowsHit

__all__ = ["Erasure"]


class Erasure:
    """The erasure of contents and rows from a store: :attr:`sheaf.Store.erasure`."""

    def __init__(
        self, connected: Connected, repo: Callable[[str], Repo], pass_on: Callable[[], SheafError | None]
    ) -> None:
        """``repo`` finds a repo by its name; ``pass_on`` deletes in replicas and returns what prevented it."""
        self._connected = connected
        self._core = connected.core
        self._repo = repo
        self._pass_on = pass_on

    def erase(
        self,
        *,
        content: str | Iterable[str] = (),
        address: str | Iterable[str] = (),
        recursive: bool = False,
        with_path: bool = False,
        reason: str,
        now: bool = False,
        grace: float = 3600.0,
        on_wait: Callable[[list[Session]], None] | None = None,
    ) -> Receipt:
        """Permanently remove the bytes of contents from all bundles of all repos, under all their names.

        History, ids and all other files do not change. Reading an erased file fails; uploading it again is refused.
        Chunks that other contents share stay: see :meth:`similar`. Other contents of the same paths stay: see
        :meth:`namesakes`.

        Args:
            content: content hashes, as printed by `b3sum`.
            address: files as ``repo@ref:path``.
            recursive: for an address of a folder: all files below it.
            with_path: also replace the names of the files in all bundles by ``erased-…``. Bundles keep their ids and
                versions, which still cover the old names (:attr:`Bundle.redacted`). Names of folders, targets of
                symlinks, messages, labels and runs stay.
            reason: the reason, stored permanently: must not contain personal data.
            now: end open uploads immediately instead of waiting for them.
            grace, on_wait: as for :meth:`sheaf.Store.gc`.

        Raises:
            NotFound: the store has no such content, repo, bundle or path.
            InvalidInput: the entry has no bytes of its own, or the reason is empty.
            Conflict: another operation is running; run it again.
            Unavailable: the bytes were erased here, but a replica can't be reached and still has them.
        """
        from sheaf.engine.erase.erasure import erase  # takes pyarrow

        self._ensure_erasable(reason)
        contents = self._contents_of(content, address, recursive=recursive)
        patience = engine.GracePeriod(0.0 if now else grace, True, on_wait or (lambda sessions: None))
        return self._erased(
            erase(
                self._core,
                contents,
                reason,
                patience,
                engine.Names() if with_path else None,
                user_spills(self._core.config.id),
            )
        )

    def erase_rows(
        self,
        repo: str,
        pattern: str,
        where: str | Sequence[tuple[str, str, object]] | Sequence[Sequence[tuple[str, str, object]]],
        *,
        reason: str,
        now: bool = False,
        grace: float = 3600.0,
        on_wait: Callable[[list[Session]], None] | None = None,
    ) -> Receipt:
        """Permanently remove rows from all versions of the Parquet files of a repo that match a pattern.

        Each content with such a row is rewritten without it, replaces the old content everywhere in the store, and the
        old content is erased. Bundles keep their ids and versions (:attr:`Bundle.redacted`). The receipt contains the
        columns of the condition and the number of rows, but not the condition.

        Args:
            pattern: paths: ``*`` matches within one folder, ``**`` across folders: ``tables/**/*.parquet``.
            where: ``[("person", "==", 17)]``, where all tuples must hold, or several such lists, of which one must hold,
                with the operators of PyArrow's filters. Or a text: ``person == 17 and year in (2024, 2025) or name == "x"``;
                quote column names with special characters. Rows with null in the column are kept.
            reason: the reason, stored permanently: must not contain personal data.
            now, grace, on_wait: as for :meth:`erase`.

        Raises:
            NotFound: the repo does not exist, no file matches, or no row satisfies the condition.
            InvalidInput: a matching file is not a Parquet file, or lacks the column, or its type differs. Nothing was
                changed.
            Conflict, Unavailable: as for :meth:`erase`.
        """
        from sheaf.transfer.erase_rows import erase_rows

        self._ensure_erasable(reason)
        patience = engine.GracePeriod(0.0 if now else grace, True, on_wait or (lambda sessions: None))
        return self._erased(
            erase_rows(
                self._core, self._repo(repo).id, pattern, where, reason, patience, user_spills(self._core.config.id)
            )
        )

    def count_rows(
        self,
        repo: str,
        pattern: str,
        where: str | Sequence[tuple[str, str, object]] | Sequence[Sequence[tuple[str, str, object]]],
    ) -> list[RowsHit]:
        """Count the rows that :meth:`erase_rows` would remove, by file. Arguments and errors as there."""
        return transfer.count_rows(self._core, self._repo(repo).id, pattern, where)

    def locate(
        self, *, content: str | Iterable[str] = (), address: str | Iterable[str] = (), recursive: bool = False
    ) -> list[ErasedFile]:
        """Find all paths of contents in all bundles. Arguments and errors as for :meth:`erase`."""
        finder = engine.Finder(self._core, self._contents_of(content, address, recursive=recursive))
        finder.find()
        return finder.places

    def namesakes(
        self, *, content: str | Iterable[str] = (), address: str | Iterable[str] = (), recursive: bool = False
    ) -> list[ErasedFile]:
        """Find other contents of the same paths in bundles of the same repos. Arguments and errors as for :meth:`erase`."""
        return engine.find_namesakes(self._core, self._contents_of(content, address, recursive=recursive))

    def similar(
        self, *, content: str | Iterable[str] = (), address: str | Iterable[str] = (), recursive: bool = False
    ) -> list[Similar]:
        """Find other contents that share chunks with these, most shared first. Arguments and errors as for :meth:`erase`."""
        return engine.find_similar(self._core, self._contents_of(content, address, recursive=recursive))

    def erased(self) -> list[Notice]:
        """Return the notices of all erased contents: hash and reason."""
        return engine.notices(self._core)

    def receipts(self) -> list[Receipt]:
        """Return the receipts of all erasures, oldest first."""
        return engine.receipts(self._core)

    def _ensure_erasable(self, reason: str) -> None:
        self._connected.ensure_writable()
        if not reason.strip():
            raise InvalidInput("an erasure requires a reason", "give a reason without personal data")

    def _erased(self, receipt: Receipt) -> Receipt:
        """What comes after it: the copies on this machine, and those elsewhere."""
        if self._connected.cache is not None:
            engine.forget_copies(self._connected.cache, self._core.config.id, map(bytes.fromhex, receipt.contents))
        if error := self._pass_on():
            what = f"the contents were erased here (receipt {receipt.id}), but not in every replica: {error.message}"
            raise Unavailable(what, "run `sheaf store replicate --prune` when it can be reached")
        return receipt

    def _contents_of(
        self, content: str | Iterable[str], address: str | Iterable[str], *, recursive: bool
    ) -> frozenset[bytes]:
        return _named_contents(lambda repo, ref: self._repo(repo).bundle(ref), content, address, recursive=recursive)


def _named_contents(
    find: Callable[[str, str | None], Bundle],
    content: str | Iterable[str],
    address: str | Iterable[str],
    *,
    recursive: bool,
) -> frozenset[bytes]:
    """Return the contents to erase. ``find`` returns the bundle of a repo and a ref.

    Raises:
        NotFound: a repo, bundle or path does not exist.
        InvalidInput: a hash is invalid, nothing is named, or an entry has no bytes of its own.
    """
    found = {parse_hash(text) for text in _listed(content)}
    for text in _listed(address):
        file = parse_address(text)
        found |= set(_of_path(find(file.repo, file.ref), file.path, recursive=recursive))
    if not found:
        raise InvalidInput("nothing to erase", "pass a content hash or repo@ref:path")
    return frozenset(found)


def _listed(named: str | Iterable[str]) -> list[str]:
    return [named] if isinstance(named, str) else list(named)


def _of_path(bundle: Bundle, path: str, *, recursive: bool) -> Iterator[bytes]:
    entry = bundle.entry(path) if path else None
    if entry is not None and entry.kind != "folder":
        if entry.kind == "symlink":
            raise InvalidInput(f"'{path}' is a symlink: targets of symlinks can't be erased")
        if not entry.size:
            raise InvalidInput(f"'{path}' is empty: there is nothing to erase")
        yield _content(entry)
    elif recursive:
        yield from (_content(below) for below in bundle.ls(path, recursive=True) if below.kind == "file" and below.size)
    else:
        raise InvalidInput(
            f"'{path or bundle.repo_name}' is a folder", "name a file, or pass --recursive to erase all files below"
        )


def _content(entry: Entry) -> bytes:
    return bytes.fromhex(entry.content or "")
