"""``.sheafignore``: paths that uploads skip, in the syntax of gitignore.

A file of that name applies to its folder and everything below. The deepest file that matches a path decides, and in one
file the last matching line. Entries of an ignored folder can't be included again, as in git.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Final

from msgspec import Struct

from sheaf.errors import InvalidInput
from sheaf.model.paths import join
from sheaf.transfer.local.wildmatch import compile_pattern

__all__ = ["IGNORE_FILE", "Ignore"]

IGNORE_FILE: Final = ".sheafignore"


class _Rule(Struct, frozen=True):
    """A line of an ignore file. ``by_name``: the pattern has no slash, so it is compared with the last component only."""

    regex: re.Pattern[bytes]
    leaves_out: bool
    folders_only: bool
    by_name: bool


class Ignore(Struct, frozen=True):
    """The rules that apply in one folder: those of its own file after those of the folders above.

    ``layers``: for each ignore file its folder, with a slash at the end, and its rules, the last one first.
    """

    layers: tuple[tuple[str, tuple[_Rule, ...]], ...] = ()

    def below(self, folder: str, fd: int) -> Ignore:
        """Return the rules inside ``folder``, whose descriptor is ``fd``; call it for folders with an ignore file.

        Only regular files count, as in git. Raises InvalidInput if it can't be read.
        """
        where = join(folder, IGNORE_FILE)
        try:
            text = _read(fd)
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"can't read {where}: {error}", "make it a readable UTF-8 file, or remove it") from error
        return self.with_rules(folder, text) if text else self

    def with_rules(self, folder: str, text: str) -> Ignore:
        """Add the rules of a text, relative to ``folder``. Invalid lines match nothing."""
        lines = text.removeprefix("\ufeff").split("\n")  # no other character ends a line, as in git
        rules = tuple(rule for line in reversed(lines) if (rule := _rule(line)))
        return Ignore((*self.layers, (f"{folder}/" if folder else "", rules)))

    def leaves_out(self, path: str, *, is_folder: bool) -> bool:
        """True if a path whose folders are not ignored is ignored."""
        name = _bytes(path.rpartition("/")[2])
        for prefix, rules in reversed(self.layers):
            below = _bytes(path[len(prefix) :])
            for rule in rules:
                if rule.folders_only and not is_folder:
                    continue
                if rule.regex.fullmatch(name if rule.by_name else below):
                    return rule.leaves_out
        return False


def _bytes(text: str) -> bytes:
    """Encode a name as the file system does, because git's patterns match bytes."""
    return text.encode("utf-8", "surrogateescape")


def _rule(line: str) -> _Rule | None:
    """Return the rule in a line without its newline; None for an empty line, a comment, or a pattern that never matches."""
    text = _trimmed(line.removesuffix("\r").partition("\0")[0])
    if not text or text.startswith("#"):
        return None
    pattern = text.removeprefix("!")
    bare = pattern.removesuffix("/")
    regex = compile_pattern(_bytes(bare.removeprefix("/")))
    return None if regex is None else _Rule(regex, not text.startswith("!"), pattern.endswith("/"), "/" not in bare)


def _trimmed(line: str) -> str:
    """Remove blanks at the end, unless a backslash keeps one. Tabs stay."""
    end = at = 0
    while at < len(line):
        is_kept = line[at] != " "
        at += 2 if line[at] == "\\" else 1
        end = at if is_kept else end
    return line[:end]


def _read(fd: int) -> str:
    if not stat.S_ISREG(os.stat(IGNORE_FILE, dir_fd=fd, follow_symlinks=False).st_mode):
        return ""
    # A named pipe may have replaced the file since: it is read as an empty file instead of being waited for.
    with open(
        os.open(IGNORE_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd), "rb"
    ) as file:
        return file.read().decode()
