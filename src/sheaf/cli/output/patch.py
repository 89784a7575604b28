"""Show one change as a unified diff, if both sides are text."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sheaf.cli.output.text import quote

if TYPE_CHECKING:
    from sheaf.repo.values import Change, Entry

__all__ = ["Reader", "read_folder", "unified"]

#: Returns the bytes of a file at a path.
Reader = Callable[[str], bytes]

#: Bytes of text to compare at most: a line-by-line comparison of more takes minutes, and is too long to read.
_MAX_TEXT: Final = 2 << 20


def read_folder(folder: Path) -> Reader:
    """Return a reader of the files in a local folder."""
    return lambda path: (folder / path).read_bytes()


def unified(change: Change, read_old: Reader, read_new: Reader, *, escape: bool) -> str:
    """Return the change in the format of ``patch``, without a newline at its end.

    ``escape``: show control characters as escapes.
    """
    old, new = change.old, change.new
    lines = [f"diff {quote(change.old_path or change.path)} {quote(change.path)}"]
    if change.kind == "renamed":
        lines += [f"rename from {quote(change.old_path or '')}", f"rename to {quote(change.path)}"]
    if old and new and old.executable != new.executable:
        lines += [f"old mode {old.mode:04o}", f"new mode {new.mode:04o}"]
    if _identity(old) != _identity(new):
        lines += _body(change, _text(old, read_old), _text(new, read_new))
    return "\n".join(_visible(line) for line in lines) if escape else "\n".join(lines)


def _identity(entry: Entry | None) -> object:
    return (entry.kind, entry.content, entry.target) if entry else None


def _text(entry: Entry | None, read: Reader) -> str | None:
    """Return the text of one side; None if it isn't text, or too long."""
    if entry is None or entry.kind == "folder":
        return ""
    if entry.target is not None:
        return entry.target
    if entry.size > _MAX_TEXT:
        return None
    data = read(entry.path)
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


def _body(change: Change, old: str | None, new: str | None) -> list[str]:
    before = f"a/{change.old_path or change.path}" if change.old else "/dev/null"
    after = f"b/{change.path}" if change.new else "/dev/null"
    if old is None or new is None:
        return [f"binary files {quote(before)} and {quote(after)} differ"]
    found = difflib.unified_diff(_lines(old), _lines(new), quote(before), quote(after), lineterm="\n")
    return [part for line in found for part in _with_end(line)]


def _lines(text: str) -> list[str]:
    """Return the lines as ``patch`` counts them: they end at newlines only."""
    lines = [line + "\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _with_end(line: str) -> list[str]:
    return [line[:-1]] if line.endswith("\n") else [line, "\\ No newline at end of file"]


def _visible(line: str) -> str:
    return "".join(char if char == "\t" or char.isprintable() else _escaped(char) for char in line)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
