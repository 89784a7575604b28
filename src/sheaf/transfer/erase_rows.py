"""Erase rows of Parquet files, or count them: by a condition on the rows of all files that match a pattern."""

from __future__ import annotations

import io
import re
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
from sheaf.errors import NotFound
from sheaf.format.session_v1 import ErasedFile, Receipt
from sheaf.model.entries import ManifestEntry as Row
from sheaf.transfer.parquet_rows import Condition, Where, checked
from sheaf.vfs import BundleFile

__all__ = ["RowsHit", "count_rows", "erase_rows"]

_BUFFER = 1 << 20


def erase_rows(
    core: Core, repo: str, pattern: str, where: Where, reason: str, waiting: Waiting, spills: tuple[str, ...] = ()
) -> Receipt:
    """Rewrite the tables of a repo (by its id) without some rows, and erase the old contents.

    Raises:
        NotFound: no file matches, or no row satisfies the condition.
        InvalidInput: a matching file is not a Parquet file, or its columns don't fit. Nothing was changed.
    """
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

    file: ErasedFile
    rows: int


def count_rows(core: Core, repo: str, pattern: str, where: Where) -> list[RowsHit]:
    """Count the rows that :func:`erase_rows` would remove, by file. Raises InvalidInput."""
    condition, path, contents = checked(where), re.compile(glob_translate(pattern.strip("/"))), Contents(core)
    counts: dict[bytes, int] = {}
    for content, entry in files_of(core, repo, lambda text: path.match(text) is not None).items():
        file = cast(BinaryIO, io.BufferedReader(BundleFile(contents, entry), _BUFFER))
        if count := _count(condition, file, entry.path):
            counts[content] = count
    finder = Finder(core, frozenset(counts))
    finder.find()
    return [RowsHit(file, counts[bytes.fromhex(file.content)]) for file in finder.places]


def _count(condition: Condition, file: BinaryIO, path: str) -> int:
    try:
        return condition.count(file, f"'{path}'")
    except Erased:
        return 0
