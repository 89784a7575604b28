"""The paths of ``--files LIST`` by folder, for the scan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from sheaf.errors import InvalidInput
from sheaf.model.paths import ancestors, check_path, join, split

__all__ = ["ListedFiles"]


class ListedFiles(Struct, frozen=True):
    """Listed paths. ``wanted``: the names to scan by folder, including parent folders."""

    wanted: dict[str, set[str]]

    @classmethod
    def parse(cls, files: Sequence[str], root: str) -> ListedFiles:
        """Parse lines from the user; empty lines and a leading ``./`` are ignored, duplicates are merged.

        Raises InvalidInput for a path that leads out of the root. Where the root is ``/``, absolute paths are below it.
        """
        wanted: dict[str, set[str]] = {"": set()}
        for line in files:
            path = _relative(line, root)
            for each in (*ancestors(path), path) if path else ():
                folder, name = split(each)
                wanted.setdefault(folder, set()).add(name)
        return cls(wanted)

    def names(self, folder: str) -> list[str]:
        """Return the names to scan in a folder."""
        return list(self.wanted[folder])

    def is_entered(self, folder: str) -> bool:
        """True if a path below this folder is listed."""
        return folder in self.wanted

    def below(self, path: str) -> Iterator[str]:
        """Yield the listed paths at or below a path."""
        if path not in self.wanted:
            yield path
        for name in sorted(self.wanted.get(path, ())):
            yield from self.below(join(path, name))


def _relative(line: str, root: str) -> str:
    """Normalise a line of the list to a path below the root. Raises InvalidInput."""
    path = line.removeprefix("/") if root == "/" else line
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    path = path.rstrip("/")
    if path in ("", ".") and not line.startswith("/"):
        return ""
    try:
        return check_path(path)
    except InvalidInput as error:
        raise InvalidInput(
            f"invalid path in the list: {error.message}", "list one path per line, relative to the folder"
        ) from error
