"""The coordination folder: files by which an application and its sidecars follow each other.

Three zero-byte files are Datamon's: data is ready, the application has finished, its data is saved. Next to them each
side keeps a file that changes while it runs (``KIND-running``, ``application-running``) and writes one line that says
why it failed (``KIND-failed``, ``application-failed``). ``shell/wrap_application.sh`` is the other side.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sheaf.errors import Refused, SheafError, Unavailable

__all__ = ["FUSE", "POSTGRES", "CoordinationFolder", "CoordinationFolders", "EventNames", "write_whole"]

_SHARED: Final = 0o777  # the application may run as another user
_READABLE: Final = 0o644
_LONGEST_LINE: Final = 4096
_APPLICATION_FAILED: Final = "application-failed"
_APPLICATION_RUNNING: Final = "application-running"


@dataclass(frozen=True, slots=True)
class EventNames:
    """Names of the files of one kind of sidecar."""

    kind: str
    ready: str
    finished: str
    saved: str

    @property
    def running(self) -> str:
        return f"{self.kind}-running"

    @property
    def failed(self) -> str:
        return f"{self.kind}-failed"


FUSE: Final = EventNames("fuse", "mountdone", "initupload", "uploaddone")
POSTGRES: Final = EventNames("postgres", "dbstarted", "initdbupload", "dbuploaddone")


class CoordinationFolder:
    """The sidecar's view of the folder."""

    def __init__(self, path: Path, names: EventNames) -> None:
        self.path = path
        self.names = names
        self._beats = 0

    def claim(self) -> None:
        """Create the folder if needed and mark it as this sidecar's. Raises Refused if a run has used it before."""
        try:
            self._create()
            self._ensure_unused()
            os.close(os.open(self.path / self.names.running, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _READABLE))
        except FileExistsError:
            raise self._used(self.names.running) from None
        except OSError as error:
            raise self._unusable(error) from error

    def _create(self) -> None:
        with suppress(FileExistsError):  # the application creates it, too, maybe at this moment
            self.path.mkdir(parents=True)
            self.path.chmod(_SHARED)

    def _ensure_unused(self) -> None:
        names = self.names
        for name in (names.ready, names.finished, names.saved, names.failed):
            if (self.path / name).exists():
                raise self._used(name)

    def _used(self, name: str) -> Refused:
        return Refused(
            f"coordination folder {self.path}: it contains '{name}' from an earlier run",
            "use a new, empty folder for each run, such as an emptyDir",
        )

    def _unusable(self, error: OSError) -> SheafError:
        hint = "mount a volume there that the application and its sidecar may write"
        return Unavailable(f"coordination folder {self.path}: {error.strerror}", hint)

    def emit(self, name: str) -> None:
        """Create the file of an event."""
        try:
            os.close(os.open(self.path / name, os.O_CREAT | os.O_WRONLY, _READABLE))
        except OSError as error:
            raise self._unusable(error) from error

    def beat(self) -> None:
        """Show that the sidecar is alive. A failure is not raised: the application notices the silence."""
        self._beats += 1
        with suppress(OSError):
            write_whole(self.path / self.names.running, f"{self._beats}\n")

    def fail(self, error: SheafError) -> None:
        """Write one line that says why the sidecar has failed, unless there is one or all data was saved before."""
        if any((self.path / name).exists() for name in (self.names.failed, self.names.saved)):
            return
        line = f"{error.message} ({error.hint})" if error.hint else error.message
        with suppress(OSError):  # the application notices the silence
            self._create()
            write_whole(self.path / self.names.failed, f"{line}\n")

    @property
    def is_finished(self) -> bool:
        """True once the application has ended without an error."""
        return (self.path / self.names.finished).exists()

    @property
    def application_failure(self) -> str | None:
        """What the application says of its failure; None as long as it has not failed."""
        path = self.path / _APPLICATION_FAILED
        if not path.exists():
            return None
        try:
            with path.open("rb") as stream:
                said = stream.read(_LONGEST_LINE)
        except OSError:  # another user's, not readable here
            said = b""
        return said.decode("utf-8", "replace").strip() or "failed"

    @property
    def application_beat(self) -> str:
        """A text that changes while the application's wrapper runs; "" if there is none, as with Datamon's."""
        try:
            found = (self.path / _APPLICATION_RUNNING).stat()
        except OSError:
            return ""
        return f"{found.st_ino} {found.st_mtime_ns}"


class CoordinationFolders:
    """Several folders as one: an event is in all of them, and the failure in one of them is that of all."""

    def __init__(self, paths: Iterable[Path], names: EventNames) -> None:
        self.names = names
        self._folders = [CoordinationFolder(path, names) for path in paths]

    def claim(self) -> None:
        """Create the folders if needed and mark them. Raises Refused if a run has used one before."""
        for folder in self._folders:
            folder.claim()

    def emit(self, name: str) -> None:
        """Create the file of an event."""
        for folder in self._folders:
            folder.emit(name)

    def beat(self) -> None:
        """Show that the sidecar is alive."""
        for folder in self._folders:
            folder.beat()

    def fail(self, error: SheafError) -> None:
        """Write why the sidecar has failed."""
        for folder in self._folders:
            folder.fail(error)

    @property
    def is_finished(self) -> bool:
        """True once the application has ended without an error."""
        return all(folder.is_finished for folder in self._folders)

    @property
    def application_failure(self) -> str | None:
        """What the application says of its failure; None as long as it has not failed."""
        found = (folder.application_failure for folder in self._folders)
        return next((failure for failure in found if failure is not None), None)

    @property
    def application_beat(self) -> str:
        """A text that changes while the application's wrapper runs; "" if there is none."""
        return ";".join(beat for folder in self._folders if (beat := folder.application_beat))


def write_whole(path: Path, text: str) -> None:
    """Write a small file that readers see whole or not at all."""
    fd, new = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as stream:
            stream.write(text)
            os.fchmod(fd, _READABLE)
        os.replace(new, path)  # noqa: PTH105 - the name is text
    except BaseException:
        with suppress(OSError):
            os.unlink(new)  # noqa: PTH108 - the name is text
        raise
