"""One epoch over many small files at 20 ms a request, against streaming the packs that hold them.

    python bench/batches.py [--files 100000] [--rounds 3] [--delay 0.02]

Streaming is every pack whole, one after another, no byte decoded or checked. Target: at most twice its time. The same by
as many threads as ``batches`` has is shown, too: what a store gives at most. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sheaf
from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.port import Backend
from sheaf.testing.latency import LatencyBackend

WORKERS = 4


def make_files(folder: Path, count: int) -> None:
    """Files of 1 to 16 KB that can't be compressed, a thousand in a folder."""
    rng = random.Random(1)
    for i in range(count):
        path = folder / f"{i // 1000:03}" / f"{i:06}.bin"
        if not i % 1000:
            path.parent.mkdir(parents=True)
        path.write_bytes(rng.randbytes(rng.randint(1000, 16000)))


def stream(backend: Backend) -> int:
    keys = [stat.key for stat in backend.list("packs/", sort=True)]
    with ThreadPoolExecutor(WORKERS) as pool:
        return sum(pool.map(lambda key: len(backend.get(key)), keys))


def stream_one_by_one(backend: Backend) -> int:
    return sum(len(backend.get(stat.key)) for stat in backend.list("packs/", sort=True))


def epoch(bundle: sheaf.Bundle, seed: int | None) -> int:
    batches = bundle.batches("**", 256, shuffle=seed, workers=WORKERS)
    return sum(len(sample.data) for batch in batches for sample in batch)


def seconds(work: Callable[[], int]) -> tuple[float, float]:
    """Of the clock, and of the processor (user and system, all threads)."""
    start, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - busy


ONE_BY_ONE, AT_ONCE = "packs, one by one", f"packs, {WORKERS} at once"
SHUFFLED, IN_ORDER = "batches, shuffled", "batches, in order"


def works_on(folder: Path, files: int, delay_s: float) -> dict[str, Callable[[], int]]:
    """Make the files and a store of them below a folder; what is to be timed, by its title."""
    make_files(folder / "files", files)
    options = sheaf.StorageOptions(durability="none")
    with sheaf.init(f"{folder}/store", options=options, probe=False) as store:
        store.create_repo("r").upload(folder / "files", message="files")
    backend = LatencyBackend(FolderBackend(f"{folder}/store"), delay_s)
    bundle = sheaf.Store(backend).repo("r").bundle("main")
    return {
        ONE_BY_ONE: lambda: stream_one_by_one(backend),
        AT_ONCE: lambda: stream(backend),
        SHUFFLED: lambda: epoch(bundle, 1),
        IN_ORDER: lambda: epoch(bundle, None),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0.02)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sheaf-bench-") as name:
        works = works_on(Path(name), args.files, args.delay)
        times: dict[str, list[tuple[float, float]]] = {title: [] for title in works}
        for _ in range(args.rounds):
            for title, work in works.items():
                times[title].append(seconds(work))
    base = statistics.median(wall for wall, _ in times[ONE_BY_ONE])
    print(f"{args.files} files, {args.delay * 1000:.0f} ms a request\n")
    print("| | seconds | ratio | CPU seconds |\n|---|--:|--:|--:|")
    for title, measured in times.items():
        wall, busy = (statistics.median(column) for column in zip(*measured, strict=True))
        print(f"| {title} | {wall:.2f} | {wall / base:.2f} | {busy:.2f} |")


if __name__ == "__main__":
    main()
