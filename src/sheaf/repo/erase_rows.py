"""Find what to erase: by content hash, by address, or by a condition on the rows of tables."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from fsspec.utils import glob_translate

from sheaf.engine.chunks.chunk_reader import Contents, Erased
from sheaf.engine.core import Core
from sheaf.engine.erase.erasure import erase
from sheaf.engine.erase.locate import Finder, files_of
from sheaf.engine.erase.redact_rows import Replacement
from sheaf.engine.erase.unfinished_erasures import resume, unfinished
from sheaf.engine.gc.grace import Waiting
from sheaf.errors import InvalidInput, NotFound
from sheaf.format.session_v1 import ErasedPlace, Receipt
from sheaf.model.entries import Entry as Row
from sheaf.model.ids import parse_hash
from sheaf.model.refs import parse_address
from sheaf.repo.bundle import Bundle
from sheaf.repo.values import Entry
from sheaf.transfer.parquet_rows import Condition, Where, checked
from sheaf.vfs import BundleFile

__all__ = ["RowsHit", "contents_of", "count_rows", "erase_rows"]

Named = str | Iterable[str]
_BUFFER = 1 << 20


def contents_of(
    find: Callable[[str, str | None], Bundle], content: Named, address: Named, *, recursive: bool
) -> frozenset[bytes]:
    """Return the contents to erase. ``find`` returns the bundle of a repo and a ref.

    Raises:
        NotFound: a repo, bundle or path does not exist.
        InvalidInput: a hash is invalid, nothing is named, or an entry has no bytes of its own.
    """
    found = {parse_hash(text) for text in _listed(content)}
    for text in _listed(address):
        place = parse_address(text)
        found |= {
            bytes.fromhex(hash) for hash in _of_path(find(place.repo, place.ref), place.path, recursive=recursive)
        }
    if not found:
        raise InvalidInput("nothing to erase", "pass a content hash or repo@ref:path")
    return frozenset(found)


def _listed(named: Named) -> list[str]:
    return [named] if isinstance(named, str) else list(named)


def _of_path(bundle: Bundle, path: str, *, recursive: bool) -> Iterator[str]:
    entry = bundle.entry(path) if path else None
    if entry is not None and entry.kind != "folder":
        if entry.kind == "symlink":
            raise InvalidInput(f"'{path}' is a symlink: targets of symlinks can't be erased")
        if not entry.size:
            raise InvalidInput(f"'{path}' is empty: there is nothing to erase")
        yield _hash(entry)
    elif recursive:
        yield from (_hash(below) for below in bundle.ls(path, recursive=True) if below.kind == "file" and below.size)
    else:
        raise InvalidInput(
            f"'{path or bundle.repo_name}' is a folder", "name a file, or pass --recursive to erase all files below"
        )


def _hash(entry: Entry) -> str:
    return entry.content or ""


# -- rows of tables ----------------------------------------------------------------------------------------------------


def erase_rows(
    core: Core, repo: str, pattern: str, where: Where, reason: str, waiting: Waiting, spills: tuple[str, ...] = ()
) -> Receipt:
    """See :meth:`sheaf.repo.store_erasure.Erasure.erase_rows`; ``repo`` is an id."""
    condition, path = checked(where), re.compile(glob_translate(pattern.strip("/")))
    contents = Contents(core)

    def opened(entry: Row) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(BundleFile(contents, entry), _BUFFER))

    files = files_of(core, repo, lambda text: path.match(text) is not None)
    if not files:
        raise NotFound(
            f"no file of any bundle matches '{pattern}'", "'**' matches across folders, '*' within one: '**/*.parquet'"
        )
    counts = {content: _count(condition, opened(entry), entry.path) for content, entry in files.items()}
    meant = frozenset(content for content, count in counts.items() if count) | unfinished(core, condition.text)
    if not meant and not resume(core, meant, 0).keys:
        raise NotFound(f"no row in the {len(files)} matching files satisfies the condition", "check the condition")
    rows = sum(counts.values())
    change = Replacement(core, lambda entry: condition.without(opened(entry)), condition.text, rows, condition.columns)
    return erase(core, meant, reason, waiting, change, spills)


@dataclass(frozen=True, slots=True)
class RowsHit:
    """A table in a bundle, and the number of its rows that satisfy the condition."""

    place: ErasedPlace
    rows: int


def count_rows(core: Core, repo: str, pattern: str, where: Where) -> list[RowsHit]:
    """See :meth:`sheaf.repo.store_erasure.Erasure.count_rows`; ``repo`` is an id."""
    condition, path, contents = checked(where), re.compile(glob_translate(pattern.strip("/"))), Contents(core)
    counts: dict[bytes, int] = {}
    for content, entry in files_of(core, repo, lambda text: path.match(text) is not None).items():
        file = cast(BinaryIO, io.BufferedReader(BundleFile(contents, entry), _BUFFER))
        if count := _count(condition, file, entry.path):
            counts[content] = count
    finder = Finder(core, frozenset(counts))
    finder.find()
    return [RowsHit(place, counts[bytes.fromhex(place.content)]) for place in finder.places]


def _count(condition: Condition, file: BinaryIO, path: str) -> int:
    try:
        return condition.count(file, f"'{path}'")
    except Erased:
        return 0
