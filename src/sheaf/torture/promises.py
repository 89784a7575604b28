"""What Sheaf needs of a place, by name, and what would go wrong without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["DEPENDS", "Finding", "Verdict"]

#: ``warning``: nothing that Sheaf promises is broken, but something that people may expect of it.
Verdict = Literal["kept", "broken", "warning", "not tried"]

#: What depends on each promise, in the order of the report.
DEPENDS: Final[dict[str, str]] = {
    "create-if-absent": "commits, labels and branches: without it one writer's work replaces another's",
    "one winner": "commits of several writers at the same time",
    "one winner between processes": "commits of several machines at the same time",
    "whole or nothing": "uploads that are killed: a half-written object would count as there",
    "nothing is lost": "everything",
    "lost answers": "commits whose answer was lost: they would be reported as somebody else's",
    "read after write": "reading what was just committed",
    "byte ranges": "reading a file without its whole pack",
    "large objects": "packs of 32 MiB",
    "sizes and buffers": "every object: empty ones, small ones, ones of many parts",
    "keys": "every object's name",
    "list after write": "gc, which may delete what it doesn't see in use",
    "list after write elsewhere": "gc beside writers on other machines",
    "long listings": "gc, check and replicas of stores with many objects",
    "order of listings": "finding the newest record of a log",
    "delete": "gc, and erasures for good",
    "replace": "repair of damaged objects",
    "durable files": "committed bundles after a power cut",
    "exclusive names": "create-if-absent in a folder",
    "file names": "keys on file systems that fold names",
    "file system": "gc, which lets time pass where listings may be late",
    "old versions": "erasures for good: a bucket that keeps old versions keeps the bytes",
    "expiry and locks": "everything: a rule that expires objects destroys a store",
    "whole store": "bundles, labels, branches, gc, and all of them at the same time",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one promise; ``seen`` says what was seen, for people."""

    promise: str
    verdict: Verdict
    seen: str = ""
    is_untold: bool = False  #: not tried, since the store failed meanwhile

    @property
    def depends(self) -> str:
        """What depends on the promise."""
        return DEPENDS[self.promise]
