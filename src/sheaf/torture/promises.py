"""The guarantees that Sheaf requires of a location, by name, and what depends on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["DEPENDS", "PromiseFinding", "Verdict"]

#: ``warning``: no guarantee is violated, but erased bytes may remain.
Verdict = Literal["passed", "failed", "warning", "skipped"]

#: What depends on each promise, in the order of the report.
DEPENDS: Final[dict[str, str]] = {
    "create-if-absent": "commits, labels and branches: without it, one writer overwrites another",
    "exclusive create": "concurrent commits",
    "exclusive create across processes": "concurrent commits from several machines",
    "atomic writes": "killed uploads: a partly written object would count as complete",
    "no lost writes": "everything",
    "lost responses": "retried commits: without it, a commit of this client would be reported as another's",
    "read after write": "reading a new commit",
    "byte ranges": "reading a file without reading its whole pack",
    "large objects": "packs of 32 MiB",
    "sizes and buffers": "all objects: empty, small, and made of many parts",
    "keys": "names of objects",
    "list after write": "gc: it deletes what it doesn't find in use",
    "list after write across processes": "gc during writes from other machines",
    "long listings": "gc, check and replicas of large stores",
    "listing order": "finding the newest record of a log",
    "delete": "gc and erasure",
    "replace": "repairing damaged objects",
    "durable files": "commits before a power cut",
    "exclusive link or rename": "create-if-absent in a folder",
    "file names": "names of objects on file systems that ignore case or accents",
    "file system": "gc: it waits longer where listings may be late",
    "old versions": "erasure: a bucket that keeps old versions keeps the erased bytes",
    "expiry and locks": "everything: a rule that expires objects destroys the store",
    "whole store": "bundles, labels, branches and gc, used concurrently",
}


@dataclass(frozen=True, slots=True)
class PromiseFinding:
    """The result of one check. ``seen``: text about what was observed."""

    promise: str
    verdict: Verdict
    seen: str = ""
    is_untold: bool = False  #: skipped because a failing store made it impossible to check

    @property
    def depends(self) -> str:
        """The operations that depend on this guarantee."""
        return DEPENDS[self.promise]
