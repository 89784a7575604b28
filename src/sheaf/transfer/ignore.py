"""``.sheafignore``: what an upload leaves out, in the syntax of gitignore.

A file of that name in any folder speaks for what is below it; the deepest one that says anything about a path wins, and
in one file the last line does. What is in a folder that is left out can't be asked for again, as in git.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Final

from pathspec import GitIgnoreSpec

from sheaf.errors import InvalidInput
from sheaf.model.paths import join

__all__ = ["IGNORE_FILE", "Ignore"]

IGNORE_FILE: Final = ".sheafignore"


@dataclass(frozen=True, slots=True)
class Ignore:
    """The rules that hold in one folder: those of its own file after those of the folders above."""

    layers: tuple[tuple[str, GitIgnoreSpec], ...] = ()

    def below(self, folder: str, fd: int) -> Ignore:
        """The rules inside ``folder``, whose descriptor is ``fd``; call it where there is an ignore file.

        A symlink or anything else but a regular file is no rule, as in git. Raises InvalidInput if it can't be read.
        """
        where = join(folder, IGNORE_FILE)
        try:
            text = _read(fd)
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"can't read {where}: {error}", "make it readable UTF-8 text, or remove it") from error
        return self.with_rules(folder, text, where) if text else self

    def with_rules(self, folder: str, text: str, where: str = IGNORE_FILE) -> Ignore:
        """These rules and those of a text, which are relative to ``folder``."""
        try:
            spec = GitIgnoreSpec.from_lines(text.removeprefix("\ufeff").splitlines())
        except ValueError as error:
            raise InvalidInput(f"{where} has a pattern that makes no sense: {error}") from error
        return Ignore((*self.layers, (f"{folder}/" if folder else "", spec)))

    def leaves_out(self, path: str, *, is_folder: bool) -> bool:
        """Whether a path, whose folders are not left out themselves, is."""
        asked = f"{path}/" if is_folder else path
        for prefix, spec in reversed(self.layers):
            verdict = spec.check_file(asked[len(prefix) :]).include
            if verdict is not None:
                return verdict
        return False


def _read(fd: int) -> str:
    if not stat.S_ISREG(os.stat(IGNORE_FILE, dir_fd=fd, follow_symlinks=False).st_mode):
        return ""
    with open(os.open(IGNORE_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd), "rb") as file:
        return file.read().decode()
