"""Walk through the folders of a bundle: symlink cycles end the walk there, damage is not skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sheaf.fsspec.url import SheafUrl

if TYPE_CHECKING:
    from sheaf.fsspec.filesystem import SheafFileSystem

__all__ = ["Walk"]


@dataclass(frozen=True, slots=True)
class Walk:
    """The arguments of :meth:`SheafFileSystem.walk` that are the same for every folder."""

    fs: SheafFileSystem
    topdown: bool
    on_error: str | Callable[[OSError], object]
    detail: bool
    options: Mapping[str, Any]

    def below(
        self, path: str, maxdepth: int | None, way: frozenset[str], real: str | None = None
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield a folder and those below it. ``way``: the folders above it, with symlinks resolved.

        ``real``: the path of the folder itself with symlinks resolved.
        """
        real = path if real is None else real
        found = self._listing(path)
        if found is None:
            return
        folders = {name: info for name, info in found.items() if info["type"] == "directory" and name}
        files = {name: info for name, info in found.items() if name not in folders}
        shown = (folders, files) if self.detail else (list(folders), list(files))
        if self.topdown:
            yield path, *shown
        if maxdepth is None or maxdepth > 1:
            deeper = None if maxdepth is None else maxdepth - 1
            # The caller may have removed folders from the list, to skip them.
            for name in list(shown[0]):
                inner = folders[name]
                at = _real(path, inner["real"]) if "real" in inner else f"{real}/{name}"
                if at not in way | {real}:
                    yield from self.below(inner["name"], deeper, way | {real}, at)
        if not self.topdown:
            yield path, *shown

    def _listing(self, path: str) -> dict[str, Any] | None:
        """Return what is in a folder by name, for a file the file itself by "", None if the path is skipped."""
        try:
            listing = self.fs.ls(path, detail=True, **self.options)
        except OSError as error:
            if callable(self.on_error):
                self.on_error(error)
                return None
            if self.on_error == "raise" or not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                raise
            return None
        return {"" if info["name"] == path else info["name"].rpartition("/")[2]: info for info in listing}


def _real(path: str, folder: str) -> str:
    """Return the full path of a folder in the bundle that a path is in."""
    return f"{SheafUrl.parse(path).bundle}/{folder}".rstrip("/")
