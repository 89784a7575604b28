"""The ``.datamon/`` folder of a download: the bundle's descriptor and its lists of files with 1,000 entries each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sheaf.cli.output.render import to_json

if TYPE_CHECKING:
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.values import Entry

__all__ = ["leave_traces"]

_LIST_LENGTH: Final = 1000


def leave_traces(bundle: Bundle, folder: Path) -> None:
    """Write ``.datamon/`` for this bundle, and remove what an earlier bundle left there."""
    traces = folder / ".datamon"
    traces.mkdir(exist_ok=True)
    for old in traces.glob("*.yaml"):
        old.unlink()
    count = 0
    files = (entry for entry in bundle.ls(recursive=True) if entry.kind == "file")
    while batch := list(itertools.islice(files, _LIST_LENGTH)):
        path = traces / f"{bundle.id}-bundle-files-{count}.yaml"
        path.write_text("BundleEntries:\n" + "".join(map(_entry, batch)), encoding="utf-8")
        count += 1
    descriptor = "".join(f"{line}\n" for line in _descriptor(bundle, count))
    (traces / f"{bundle.id}.yaml").write_text(descriptor, encoding="utf-8")


def _entry(entry: Entry) -> str:
    # JSON strings are valid YAML strings, and a YAML dumper would take minutes for a million files.
    return f"- hash: {entry.content}\n  name: {to_json(entry.path)}\n  mode: {entry.mode}\n  size: {entry.size}\n"


def _descriptor(bundle: Bundle, count: int) -> Iterator[str]:
    yield "leafSize: 0"
    yield f"id: {bundle.id}"
    yield f"message: {to_json(bundle.message)}"
    if bundle.parents:
        yield f"parents: {to_json(list(bundle.parents))}"
    yield f"timestamp: {bundle.time.isoformat()}"
    yield f"contributors: {to_json([{'name': bundle.author.name, 'email': bundle.author.email}])}"
    yield f"count: {count}"
    yield "version: 2"
    yield "deduplication: blake3"
