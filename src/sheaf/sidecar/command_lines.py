"""The commands that a sidecar runs, as its user writes them: ``bundle mount …``, ``bundle upload …``, ``config …``."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sheaf.errors import InvalidInput
from sheaf.model.names import check_ref_name

__all__ = [
    "FuseCommands",
    "MountCommand",
    "UploadCommand",
    "check_id_files",
    "check_labels",
    "parse_commands",
    "value_of",
    "without",
]

_SUPPORTED: Final = "only bundle and config commands supported."
_UNFINISHED_BRANCH: Final = "unfinished"
_UNFINISHED_NOTE: Final = "(unfinished: the application had not ended)"


@dataclass(frozen=True, slots=True)
class MountCommand:
    """A bundle to mount. ``words``: the command without the program."""

    words: tuple[str, ...]
    mountpoint: Path

    def pinned(self, bundle: str) -> MountCommand:
        """The same mount of exactly this bundle: a label may have moved since."""
        words = self.words
        for option in ("--bundle", "--label", "--branch"):
            words = without(words, option)
        return replace(self, words=(*words, "--bundle", bundle))


@dataclass(frozen=True, slots=True)
class UploadCommand:
    """A folder to upload. ``id_file``: is given the id of the bundle."""

    words: tuple[str, ...]
    repo: str
    id_file: Path | None = None

    def unfinished(self) -> UploadCommand:
        """The same upload where no reader takes it for a result: without the label, and on a branch of its own."""
        words = self.words
        for option in ("--label", "--branch", "--message", "-m"):
            words = without(words, option)
        message = value_of(self.words, "--message", "-m") or ""
        noted = f"{message} {_UNFINISHED_NOTE}".strip()
        return UploadCommand((*words, "--branch", _UNFINISHED_BRANCH, "--message", noted), self.repo)


@dataclass(frozen=True, slots=True)
class FuseCommands:
    """All that a sidecar of the kind ``fuse`` runs, in order."""

    config: tuple[str, ...] = ()
    mounts: tuple[MountCommand, ...] = ()
    uploads: tuple[UploadCommand, ...] = ()

    def check(self) -> None:
        """Raise InvalidInput for what can't work together."""
        if not self.mounts and not self.uploads:
            raise InvalidInput(
                "sidecar: nothing to mount or upload", "pass -d 'bundle mount …' or -d 'bundle upload …'"
            )
        places = [command.mountpoint for command in self.mounts]
        if twice := [str(place) for place in places if places.count(place) > 1]:
            raise InvalidInput(f"{twice[0]}: two bundles are mounted there", "choose a folder for each mount")
        check_id_files(self.uploads)
        check_labels(self.uploads)


def check_id_files(uploads: Iterable[UploadCommand]) -> None:
    """Raise InvalidInput unless each file for an id can be created by one upload."""
    files = [upload.id_file for upload in uploads if upload.id_file]
    for path in files:
        _check_id_file(path, files)


def check_labels(uploads: Iterable[UploadCommand]) -> None:
    """Raise InvalidInput for a label or branch that an upload could not set after hours of the application's work."""
    for upload in uploads:
        for option in ("--label", "--branch"):
            if name := value_of(upload.words, option):
                check_ref_name(name)


def _check_id_file(path: Path, files: Sequence[Path]) -> None:
    if path.exists():
        raise InvalidInput(f"bundle id file {path} already exists", "name a file that does not exist")
    if not path.parent.is_dir():
        raise InvalidInput(f"bundle id file {path}: folder {path.parent} does not exist", "mount a volume there")
    if files.count(path) > 1:
        raise InvalidInput(f"bundle id file {path}: two uploads write it", "name a file for each upload")


def parse_commands(texts: Iterable[str], id_file: Path | None = None) -> FuseCommands:
    """Parse the values of ``-d``. ``id_file``: for the id of the only upload. Raises InvalidInput."""
    config: list[tuple[str, ...]] = []
    mounts: list[MountCommand] = []
    uploads: list[UploadCommand] = []
    for text in texts:
        words = _split(text)
        match words[:2]:
            case ("config", _):
                config.append(words)
            case ("bundle", "mount") if words[2:3] != ("new",):
                words = tuple(word for word in words if word != "--daemonize")  # the sidecar has to see it end
                mounts.append(MountCommand(words, Path(_needed(words, "--mount", text))))
            case ("bundle", "upload"):
                _needed(words, "--path", text)
                _needed(words, "--message", text, "-m")
                uploads.append(UploadCommand(words, _needed(words, "--repo", text), id_file))
            case _:
                raise InvalidInput(f"'{text}': {_SUPPORTED}", "write 'bundle mount …', 'bundle upload …' or 'config …'")
    if len(config) > 1:
        raise InvalidInput("more than one config command", "pass one -d 'config …' at most")
    if id_file is not None and len(uploads) != 1:
        raise InvalidInput(f"-i {id_file}: there are {len(uploads)} uploads", "-i requires exactly one upload")
    return FuseCommands(config[0] if config else (), tuple(mounts), tuple(uploads))


def _split(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise InvalidInput(f"'{text}': {error}".lower(), "close the quotes in the command") from None
    return words[1:] if words[:1] in (("datamon",), ("datamon2",), ("sheaf",)) else words


def _needed(words: Sequence[str], option: str, text: str, short: str = "") -> str:
    value = value_of(words, option, short)
    if not value:
        raise InvalidInput(f"'{text}': {option} is missing", f"add {option} to the command")
    return value


def value_of(words: Sequence[str], *options: str) -> str | None:
    """The value of an option, the last one if it is repeated; None without it."""
    found = None
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in options:
            found = value if equals else next(iter(words[at + 1 : at + 2]), None)
    return found


def without(words: Sequence[str], option: str) -> tuple[str, ...]:
    """The words without an option and its value."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == option:
            next(rest, None)
        elif not word.startswith(f"{option}="):
            kept.append(word)
    return tuple(kept)
