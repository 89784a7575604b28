"""``.sheafignore``: what an upload leaves out, in the syntax of gitignore.

A file of that name in any folder speaks for what is below it; the deepest one that says anything about a path wins, and
in one file the last line does. What is in a folder that is left out can't be asked for again, as in git.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import Final

from pathspec import GitIgnoreSpec

from sheaf.errors import InvalidInput
from sheaf.model.paths import join

__all__ = ["IGNORE_FILE", "Ignore"]

IGNORE_FILE: Final = ".sheafignore"


Pattern = tuple[re.Pattern[str], bool]  #: and whether what matches is left out (else it is kept)
_BELOW: Final = "ps_d"  #: the library's name for the slash after a folder that a pattern matches


@dataclass(frozen=True, slots=True)
class Ignore:
    """The rules that hold in one folder: those of its own file after those of the folders above.

    ``layers``: for each ignore file its folder, with a slash at the end, and its patterns, the last one first.
    """

    layers: tuple[tuple[str, tuple[Pattern, ...]], ...] = ()

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
        patterns = tuple((p.regex, p.include) for p in reversed(spec.patterns) if p.regex and p.include is not None)
        return Ignore((*self.layers, (f"{folder}/" if folder else "", patterns)))

    def leaves_out(self, path: str, *, is_folder: bool) -> bool:
        """Whether a path, whose folders are not left out themselves, is."""
        asked = f"{path}/" if is_folder else path
        for prefix, patterns in reversed(self.layers):
            below = asked[len(prefix) :]
            for regex, verdict in patterns:
                if any(_is_itself(match) for match in regex.finditer(below)):
                    return verdict
        return False


def _is_itself(match: re.Match[str]) -> bool:
    """Whether a pattern matches the path, not only a folder above it.

    The library's own verdict mixes the two, which goes wrong where a folder was kept by a later rule; here the folders
    above have been asked about before.
    """
    end = match.end(_BELOW) if _BELOW in match.re.groupindex else -1
    return end in (-1, len(match.string))


def _read(fd: int) -> str:
    if not stat.S_ISREG(os.stat(IGNORE_FILE, dir_fd=fd, follow_symlinks=False).st_mode):
        return ""
    with open(os.open(IGNORE_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd), "rb") as file:
        return file.read().decode()
