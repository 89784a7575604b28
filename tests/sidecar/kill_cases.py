"""Kills that every kind of sidecar must survive: the step, the victim, the signal, and how both sides end."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from signal import SIGKILL as KILL
from signal import SIGTERM as TERM

__all__ = ["CASES", "KILL", "STEPS", "TERM", "Case"]

#: By step: the gate that is closed, and the file that shows that it is reached. None: the program waits by itself.
STEPS = {
    "starting": ("before-repo-get", "gates/before-repo-get.reached"),
    "running": (None, "running"),
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
