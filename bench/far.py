"""An upload to a store that is far away: 20 ms a request, one answer in a hundred a 503.

    python -m bench.far FOLDER DELAY_MS

Prints: seconds of the upload, requests.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from bench.counting import remote_store
from sheaf.repo.store import Store
from sheaf.storage.wrappers.retry import RetryBackend
from sheaf.testing.latency import LatencyBackend

__all__ = ["upload"]


def upload(folder: Path, delay_s: float) -> tuple[float, int]:
    """Upload a folder to a store of so much delay; returns seconds and requests."""
    counted = remote_store()
    backend = RetryBackend(LatencyBackend(counted, delay_s, busy=0.01 if delay_s else 0.0)) if delay_s else counted
    with Store(backend) as store:
        repo = store.create_repo("far")
        counted.reset()
        begin = time.perf_counter()
        repo.upload(folder, message="far")
        return time.perf_counter() - begin, counted.tally().requests


if __name__ == "__main__":
    seconds, requests = upload(Path(sys.argv[1]), float(sys.argv[2]) / 1000)
    print(seconds, requests)
