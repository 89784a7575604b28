"""The text of ``sheaf.lock``: TOML, one block for each folder, in the order of their names, one value a line.

So git merges changes of different folders line by line, and a conflict shows whole blocks. People edit and merge the file,
therefore it is read strictly: whatever is wrong is named with its line.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from sheaf.errors import InvalidInput, Unsupported
from sheaf.local_errors import printable
from sheaf.model.ids import is_ksuid
from sheaf.model.names import check_repo_name
from sheaf.model.paths import ancestors, check_path
from sheaf.model.refs import parse_ref
from sheaf.storage.open import is_path

__all__ = ["FILE_NAME", "PORTABLE_OPTIONS", "Pin", "check_folder", "parse_pins", "render_pins"]

FILE_NAME: Final = "sheaf.lock"
_FORMAT: Final = 1
_HEAD: Final = """\
# Folders of data pinned by `sheaf add`: `sheaf pull` restores them, `sheaf bump NAME` moves one to a newer bundle.
"""
#: The options that a store's URL can have. With others, the author of the file could have credentials sent to another
#: server, choose among the reader's credentials, or have files of the reader's machine read.
PORTABLE_OPTIONS: Final = frozenset(("account", "anonymous", "ordered", "path_style", "region"))
_MARKERS: Final = ("<<<<<<<", "|||||||", ">>>>>>>")  # not =======, which never occurs without the others
_AT: Final = re.compile(r" \(at line (\d+), column \d+\)$")
_KEY: Final = re.compile(r"""\s*["']?([\w-]+)["']?\s*=""")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_VERSION: Final = re.compile(r"[0-9a-f]{64}")
_RESTORE: Final = "correct it, or restore the file with `git checkout -- sheaf.lock`"


@dataclass(frozen=True, slots=True)
class Pin:
    """A folder and the bundle that it is pinned to.

    ``folder``: relative to the file. ``ref``: what ``bump`` follows. ``store``: a URL, or a path relative to the file; ""
    is the reader's own store. ``line``: its line number in the file.
    """

    folder: str
    repo: str
    ref: str
    bundle: str
    version: str
    store: str = ""
    line: int = field(default=0, compare=False)


def render_pins(pins: Iterable[Pin]) -> str:
    """Return the text of the file."""
    blocks = (_block(pin) for pin in sorted(pins, key=lambda pin: pin.folder))
    return "\n".join([f"{_HEAD}format = {_FORMAT}\n", *blocks])


def _block(pin: Pin) -> str:
    values = {name: getattr(pin, name) for name in ("store", "repo", "ref", "bundle", "version")}
    lines = [f"{name} = {_quoted(value)}\n" for name, value in values.items() if value]
    return f"[folder.{_quoted(pin.folder)}]\n{''.join(lines)}"


def _quoted(text: str) -> str:
    """A basic string of TOML. JSON's differs from it only in DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def parse_pins(text: str, file: str = FILE_NAME) -> dict[str, Pin]:
    """Read the text of the file; returns the pins by folder.

    Raises:
        InvalidInput: it was edited by hand and is wrong, or has conflict markers of git; ``file`` and the line are named.
        Unsupported: a newer Sheaf wrote it.
    """
    return _Parsing(text, file).run()


def check_folder(folder: str) -> str:
    """Return the folder if it may be pinned: relative, below the file, and not git's own. Raises InvalidInput."""
    check_path(folder)
    if any(part.lower() == ".git" for part in folder.split("/")):
        raise InvalidInput(f"'{folder}' belongs to git", "choose another folder")
    if _CONTROL.search(folder):  # no line of .gitignore could name it
        raise InvalidInput(f"'{folder}' contains control characters", "choose another folder")
    return folder


@dataclass(frozen=True, slots=True)
class _Parsing:
    text: str
    file: str

    def run(self) -> dict[str, Pin]:
        self._ensure_merged()
        try:
            top = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise self._of_toml(error) from None
        self._check_format(top.pop("format", None))
        folders = top.pop("folder", {})
        if top or not isinstance(folders, dict):
            name = next(iter(top), "folder")
            raise self._wrong(self._line("", name), f"'{name}' is not known", _RESTORE)
        pins = {folder: self._pin(folder, values) for folder, values in folders.items()}
        for folder, pin in pins.items():
            if above := next((each for each in ancestors(folder) if each in pins), None):
                raise self._wrong(pin.line, f"'{folder}' is inside '{above}', which is pinned, too", _RESTORE)
        return pins

    def _ensure_merged(self) -> None:
        for number, line in enumerate(self.text.split("\n"), 1):
            if line.startswith(_MARKERS):
                hint = "keep one whole block for each folder, remove the lines of markers, then run `sheaf pull`"
                raise self._wrong(number, "there is an unresolved conflict of a git merge", hint)

    def _of_toml(self, error: tomllib.TOMLDecodeError) -> InvalidInput:
        text = str(error)
        at = _AT.search(text)
        if at is None:
            return self._wrong(
                self.text.rstrip("\n").count("\n") + 1, text.removesuffix(" (at end of document)"), _RESTORE
            )
        return self._wrong(int(at[1]), text[: at.start()], _RESTORE)

    def _check_format(self, value: object) -> None:
        line = self._line("", "format")
        if value is None:
            raise self._wrong(1, f"the line 'format = {_FORMAT}' is missing", _RESTORE)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong(line, f"the format is not {_FORMAT}", _RESTORE)
        if value > _FORMAT:
            raise Unsupported(f"{self.file}: line {line}: format {value} needs a newer Sheaf", "upgrade sheaf-data")

    def _pin(self, folder: str, values: Any) -> Pin:
        line = self._line(folder)
        if not isinstance(values, dict):
            raise self._wrong(line, f"'{folder}' is not a block", _RESTORE)
        self._checked(line, lambda: check_folder(folder))
        self._check_keys(folder, values, line)
        for key, check in _CHECKS.items():
            if key in values:
                self._checked(self._line(folder, key), lambda check=check, key=key: check(values[key]))  # type: ignore[misc]
        return Pin(folder, **values, line=line)

    def _check_keys(self, folder: str, values: Mapping[str, Any], line: int) -> None:
        for key, value in values.items():
            if key not in _CHECKS:
                raise self._wrong(
                    self._line(folder, key), f"'{key}' is not known: expected {', '.join(_CHECKS)}", _RESTORE
                )
            if not isinstance(value, str):
                raise self._wrong(self._line(folder, key), f"'{key}' is not text in quotes", _RESTORE)
        for key in _CHECKS:
            if key not in values and key != "store":
                raise self._wrong(line, f"'{folder}' has no line '{key} = …'", _RESTORE)

    def _checked(self, line: int, check: Callable[[], object]) -> None:
        try:
            check()
        except InvalidInput as error:
            raise self._wrong(line, error.message, error.hint or _RESTORE) from None

    def _wrong(self, line: int, what: str, hint: str) -> InvalidInput:
        return InvalidInput(f"{self.file}: line {line}: {what}", hint)

    def _line(self, folder: str, key: str = "") -> int:
        """The line of a block's header, or of a key in it; 1 if it is written in a way that is not found."""
        places = {(where, name): number for number, where, name in _places(self.text)}
        return places.get((folder, key)) or places.get((folder, "")) or 1


def _places(text: str) -> Iterator[tuple[int, str, str]]:
    """The number, folder and key of each line that is a header (its key is "") or a value."""
    folder = ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("["):
            try:
                block = tomllib.loads(line).get("folder", {})
            except tomllib.TOMLDecodeError:
                continue
            folder = next(iter(block), "") if isinstance(block, dict) else ""
            yield number, folder, "" if isinstance(block, dict) else "folder"
        elif found := _KEY.match(line):
            yield number, folder, found[1]


def _check_bundle(text: str) -> None:
    if not is_ksuid(text):
        raise InvalidInput(f"'{text}' is not the id of a bundle")


def _check_version(text: str) -> None:
    if not _VERSION.fullmatch(text):
        raise InvalidInput(f"'{text}' is not a version: 64 hex digits")


def _check_store(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput("the path of the store is not UTF-8", "rename its folder") from None
    if not text or text.startswith(("/", "~")) or "\0" in text:
        raise InvalidInput(
            f"'{text}' is not a URL, nor a path relative to the file", "write a URL, such as s3://bucket/prefix"
        )
    if not is_path(text):
        _check_options(text)


def _check_options(url: str) -> None:
    try:
        query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    except ValueError:
        raise InvalidInput(f"'{url}' is not a URL", "write a URL, such as s3://bucket/prefix") from None
    for name, _ in query:
        if name not in PORTABLE_OPTIONS:
            raise InvalidInput(
                f"the URL of a store in {FILE_NAME} can't have the option '{printable(name)}'",
                "remove it, then set it in your settings with `sheaf config set`, or name the store with --store URL",
            )


_CHECKS: Final[dict[str, Callable[[str], object]]] = {
    "store": _check_store,
    "repo": check_repo_name,
    "ref": parse_ref,
    "bundle": _check_bundle,
    "version": _check_version,
}
