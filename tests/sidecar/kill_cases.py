"""Kills that every kind of sidecar must survive: the step, the victim, the signal, and how both sides end."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from signal import SIGKILL as KILL
from signal import SIGTERM as TERM

__all__ = [
    "CASES",
    "DOWNLOAD_CASES",
    "DUMP_CASES",
    "KILL",
    "MOUNT_CASES",
    "PROGRAM_CASES",
    "SERVER_CASES",
    "STEPS",
    "TERM",
    "VACUUM_CASES",
    "Case",
]

#: By step: the gate that is closed, and the file that shows that it is reached. None: the program waits by itself.
STEPS = {
    "starting": ("before-repo-get", "gates/before-repo-get.reached"),
    "mounting": ("before-bundle-mount", "gates/before-bundle-mount.reached"),
    "downloading": ("before-bundle-download", "gates/before-bundle-download.reached"),
    "running": (None, "running"),
    "vacuuming": ("before-vacuumdb", "gates/before-vacuumdb.reached"),
    "dumping": ("before-pg_dump", "gates/before-pg_dump.reached"),
    "saving": ("before-bundle-upload", "gates/before-bundle-upload.reached"),
    "committed": ("after-bundle-upload", "gates/after-bundle-upload.reached"),
}


@dataclass(frozen=True)
class Case:
    """``victim``: a side, or the process id that a file names. The codes are those of a shell."""

    step: str
    victim: str
    signal: signal.Signals
    application: int
    sidecar: int
    is_labelled: bool = False

    def __str__(self) -> str:
        return f"{self.step}-{self.victim}-{self.signal.name}"


CASES = [
    Case("starting", "application", KILL, 137, 5),
    Case("starting", "application", TERM, 143, 5),
    Case("starting", "sidecar", KILL, 125, 137),
    Case("starting", "sidecar", TERM, 125, 143),
    Case("running", "application", KILL, 137, 5),
    Case("running", "application", TERM, 143, 5),
    Case("running", "sidecar", KILL, 125, 137),
    Case("running", "sidecar", TERM, 125, 143),
    Case("saving", "application", KILL, 137, 0, is_labelled=True),
    Case("saving", "application", TERM, 143, 0, is_labelled=True),
    Case("saving", "sidecar", KILL, 125, 137),
    Case("saving", "sidecar", TERM, 0, 0, is_labelled=True),
    Case("committed", "application", KILL, 137, 0, is_labelled=True),
    Case("committed", "application", TERM, 143, 0, is_labelled=True),
    Case("committed", "sidecar", KILL, 125, 137, is_labelled=True),
    Case("committed", "sidecar", TERM, 0, 0, is_labelled=True),
]

#: The program itself; the script around it goes on.
PROGRAM_CASES = [Case("running", "program", KILL, 137, 5), Case("running", "program", TERM, 143, 5)]

#: The process of a mount: before it has answered, and while the program may read (it is started again).
MOUNT_CASES = [
    Case("mounting", "mount", KILL, 125, 8),
    Case("mounting", "mount", TERM, 125, 8),
    Case("mounting", "sidecar", KILL, 125, 137),
    Case("mounting", "sidecar", TERM, 125, 143),
    Case("running", "mount", KILL, 0, 0, is_labelled=True),
    Case("running", "mount", TERM, 0, 0, is_labelled=True),
]

SERVER_CASES = [
    Case("starting", "server", KILL, 125, 8),
    Case("starting", "server", TERM, 125, 8),
    Case("running", "server", KILL, 125, 8),
    Case("running", "server", TERM, 125, 8),
]

DOWNLOAD_CASES = [
    Case("downloading", "application", KILL, 137, 5),
    Case("downloading", "application", TERM, 143, 5),
    Case("downloading", "sidecar", KILL, 125, 137),
    Case("downloading", "sidecar", TERM, 125, 143),
]


def _before_the_upload(step: str) -> list[Case]:
    return [
        Case(step, "application", KILL, 137, 0, is_labelled=True),
        Case(step, "application", TERM, 143, 0, is_labelled=True),
        Case(step, "sidecar", KILL, 125, 137),
        Case(step, "sidecar", TERM, 0, 0, is_labelled=True),
    ]


#: All rows were in the files before the vacuum, so that its server may end.
VACUUM_CASES = [
    *_before_the_upload("vacuuming"),
    Case("vacuuming", "server", KILL, 0, 0, is_labelled=True),
    Case("vacuuming", "server", TERM, 0, 0, is_labelled=True),
]
DUMP_CASES = [
    *_before_the_upload("dumping"),
    Case("dumping", "server", KILL, 125, 8),
    Case("dumping", "server", TERM, 125, 8),
]
