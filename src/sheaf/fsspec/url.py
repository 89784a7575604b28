"""Paths of the file system: ``repo@ref/path``, or a prefix of repo names."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SheafUrl"]

_SCHEME = "sheaf://"


@dataclass(frozen=True, slots=True)
class SheafUrl:
    """A parsed path. ``ref``: None for a folder of repos, or for a repo as the folder of its refs.

    ``path``: the path inside the bundle, "" for its root.
    """

    repo: str
    ref: str | None = None
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> SheafUrl:
        """Parse a path. It is unambiguous because names of repos contain no ``@`` and refs no ``/``."""
        repo, at, rest = strip(text).partition("@")
        ref, _, path = rest.partition("/")
        return cls(repo, ref, path) if at else cls(repo)

    @property
    def bundle(self) -> str:
        """The path of the bundle's root."""
        return f"{self.repo}@{self.ref}"

    def __str__(self) -> str:
        if self.ref is None:
            return self.repo
        return f"{self.bundle}/{self.path}" if self.path else self.bundle


def strip(text: str) -> str:
    """Return a path without the scheme and without slashes at its ends."""
    return text.removeprefix(_SCHEME).strip("/")
