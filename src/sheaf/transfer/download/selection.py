"""The rows that a download writes, and their paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from sheaf.engine.manifest.tree import Tree
from sheaf.errors import InvalidInput, NotFound
from sheaf.model.entries import Kind
from sheaf.model.paths import ancestors, check_path, join, relative, split

__all__ = ["Selection"]


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a bundle to download. ``path``: a folder whose contents to write, or one file.

    ``pattern``: only files whose path matches. ``files``: paths below the root, None for all.
    """

    path: str = ""
    pattern: re.Pattern[str] | None = None
    files: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, path: str = "", name_filter: str | None = None, files: Iterable[str] | None = None) -> Selection:
        """Parse the options of a download. ``name_filter`` is searched in whole paths. Raises InvalidInput."""
        try:
            pattern = re.compile(name_filter) if name_filter is not None else None
        except re.error as error:
            raise InvalidInput(
                f"'{name_filter}' is not a regular expression: {error}",
                f"the expression for this glob is '{_of_glob(name_filter)}'",
            ) from error
        trimmed = path.strip("/")
        listed = None if files is None else _outermost(check_path(file.removeprefix("./")) for file in files)
        return cls(check_path(trimmed) if trimmed else "", pattern, listed)

    @property
    def is_whole(self) -> bool:
        """True if all rows below the path are selected, including folders."""
        return self.pattern is None and self.files is None

    def names_files(self, tree: Tree) -> bool:
        """Return True if single paths are selected; these may be written into a folder that is not empty."""
        return self.files is not None or self._single(tree) is not None

    def rows(self, tree: Tree) -> Iterator[pa.RecordBatch]:
        """Yield the rows to write (schema ROWS), with folders relative to the path. Raises NotFound."""
        base = self._base(tree)
        for batch in self._listed(tree) if self.files is not None else self._below(tree):
            chosen = batch if self.pattern is None else batch.filter(self._matching(batch, self.pattern))
            if chosen.num_rows:
                yield _relative(chosen, base)

    def folders(self, tree: Tree) -> Iterator[pa.RecordBatch]:
        """Yield the rows of folders that :meth:`rows` may need, with those above the files."""
        base = self._base(tree)
        for batch in self._listed_folders(tree) if self.files is not None else self._below(tree):
            chosen = batch.filter(pc.equal(batch["kind"], int(Kind.FOLDER)))
            if chosen.num_rows:
                yield _relative(chosen, base)

    def _single(self, tree: Tree) -> pa.RecordBatch | None:
        """Return the row of the path if it is a file, else None. Raises NotFound."""
        if not self.path:
            return None
        row = tree.row(self.path)
        if row is None:
            raise NotFound(f"'{self.path}' not found in the bundle", "run `sheaf ls` to list its contents")
        return None if row["kind"][0].as_py() == Kind.FOLDER else row

    def _base(self, tree: Tree) -> str:
        return self.path if self._single(tree) is None else split(self.path)[0]

    def _below(self, tree: Tree) -> Iterator[pa.RecordBatch]:
        single = self._single(tree)
        return tree.batches(self.path) if single is None else iter([single])

    def _matching(self, batch: pa.RecordBatch, pattern: re.Pattern[str]) -> pa.Array:
        folders, names = batch["folder"].to_pylist(), batch["name"].to_pylist()
        hits = [pattern.search(join(f, n)) is not None for f, n in zip(folders, names, strict=True)]
        return pc.and_(pa.array(hits, pa.bool_()), pc.not_equal(batch["kind"], int(Kind.FOLDER)))

    def _listed(self, tree: Tree) -> Iterator[pa.RecordBatch]:
        for path in self.files or ():
            row = tree.row(join(self.path, path))
            if row is None:
                raise NotFound(
                    f"'{join(self.path, path)}' not found in the bundle", "run `sheaf ls` to list its contents"
                )
            yield row
            if row["kind"][0].as_py() == Kind.FOLDER:
                yield from tree.batches(join(self.path, path))

    def _listed_folders(self, tree: Tree) -> Iterator[pa.RecordBatch]:
        above = sorted({folder for path in self.files or () for folder in ancestors(path)})
        rows = (tree.row(join(self.path, folder)) for folder in above)
        yield from (row for row in rows if row is not None)
        yield from self._listed(tree)


def _of_glob(glob: str | None) -> str:
    """Return a regular expression that finds the same as a glob."""
    pieces = [{"*": ".*", "?": "."}.get(char) or re.escape(char) for char in glob or ""]
    return f"{''.join(pieces)}$".removeprefix(".*")


def _relative(batch: pa.RecordBatch, base: str) -> pa.RecordBatch:
    if not base:
        return batch
    few = batch["folder"].dictionary_encode()
    cut = pa.array([relative(folder, base) for folder in few.dictionary.to_pylist()], pa.string())
    return batch.set_column(0, "folder", cut.take(few.indices))


def _outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths sorted and without duplicates, without those below another of them."""
    given = set(paths)
    return tuple(sorted(path for path in given if not given.intersection(ancestors(path))))
