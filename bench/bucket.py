"""The command line on a store that is as far away as a bucket; its requests are counted.

    python -m bench.bucket FOLDER DELAY_MS RESULT [ARGUMENT…]

FOLDER has the objects, each request takes DELAY_MS, RESULT becomes one line: reads, writes, the longest chain of requests
that waited for each other, bytes read, bytes written. The store's URL is that of the constant ``URL``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sheaf.cli.main import main
from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.location import Location
from sheaf.storage.open import SCHEMES
from sheaf.storage.port import Backend, Stat
from sheaf.storage.wrappers.count import CountBackend
from sheaf.testing.latency import LatencyBackend

__all__ = ["URL"]

URL = "s3://bench"
_WRITES = ("create", "delete", "replace")


class _Bucket(FolderBackend):
    """Objects in a folder, with the URL of a bucket and its order of listings."""

    ordered = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, durability="none")
        self.url = URL

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return super().list(prefix, sort=True)


def run(folder: Path, delay_s: float, result: Path, argv: list[str]) -> None:
    """Run a command and write its counts, whether it succeeds or not."""
    counted = CountBackend(LatencyBackend(_Bucket(folder), delay_s))

    def open_counted(location: Location) -> Backend:
        return counted

    SCHEMES["s3"] = open_counted
    try:
        main(argv)
    finally:
        tally = counted.tally()
        writes = sum(n for call, n in counted.requests.items() if call.operation in _WRITES)
        cost = (tally.requests - writes, writes, tally.round_trips, tally.bytes_in, tally.bytes_out)
        result.write_text(" ".join(map(str, cost)))


if __name__ == "__main__":
    run(Path(sys.argv[1]), float(sys.argv[2]) / 1000, Path(sys.argv[3]), sys.argv[4:])
