"""The proof: which files a committed bundle contains, and that their bytes can be read in the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sheaf.errors import Conflict
from sheaf.repo.bundle import Bundle
from sheaf.transfer.local.scan import Skipped
from sheaf.transfer.progress import Progress

__all__ = ["SavedFile", "prove", "read_saved"]


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file of a bundle. ``content``: its BLAKE3 hash in hex."""

    size: int
    content: str


def read_saved(bundle: Bundle, prefix: str) -> dict[str, SavedFile]:
    """Return the files of a bundle below a folder of it, by their path there."""
    start = f"{prefix}/" if prefix else ""
    saved: dict[str, SavedFile] = {}
    for entry in bundle.ls(recursive=True):
        if entry.kind == "file" and entry.content and entry.path.startswith(start):
            saved[entry.path.removeprefix(start)] = SavedFile(entry.size, entry.content)
    return saved


def prove(
    bundle: Bundle, prefix: str, wanted: Collection[str], saved: Mapping[str, SavedFile], progress: Progress | None
) -> tuple[dict[str, SavedFile], list[Skipped]]:
    """Read the bytes of files in the store and compare them with their hashes.

    Returns the files that are sound, and the others with the reason. Open the bundle without a cache: else copies on this
    machine would count. Raises Conflict if some of the files are no longer in the bundle.
    """
    start = f"{prefix}/" if prefix else ""
    bad: dict[str, str] = {}
    done = bundle.verify(
        progress,
        on_damaged=lambda damaged: bad.update({damaged.path: damaged.reason}),
        files={start + path for path in wanted},
    )
    if done.files + done.damaged + len(done.erased) != len(wanted):
        raise Conflict(
            f"bundle {bundle.id} was changed by an erasure in the meantime: no files are deleted",
            "run the command again with a new label",
        )
    bad |= dict.fromkeys(done.erased, "its bytes were erased from the store")
    sound = {path: saved[path] for path in wanted if start + path not in bad}
    return sound, [Skipped(path.removeprefix(start), f"not sound in the store: {why}") for path, why in bad.items()]
