"""Plays many schedules and says how many held: python -m tests.garbage.torture [--seeds 10000] [--first 0] [--jobs 2]"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
import traceback
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

from tests.garbage.simulation import Folders, play, tiny
from tests.garbage.standstills import share, spring


def main() -> int:
    """0 if every schedule held, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="how many at once")
    args = parser.parse_args()
    begun, failed = time.monotonic(), 0
    seeds = range(args.first, args.first + args.seeds)
    with multiprocessing.Pool(args.jobs, maxtasksperchild=1000) as pool:
        for done, (seed, trouble) in enumerate(pool.imap_unordered(_play, seeds, chunksize=4), 1):
            if trouble:
                failed += 1
                print(f"\nseed {seed} lost something:\n{trouble}", flush=True)
            if done % 100 == 0 or done == len(seeds):
                print(
                    f"{done} of {len(seeds)} schedules, {failed} failed, {time.monotonic() - begun:.0f} s", flush=True
                )
    return 1 if failed else 0


@cache
def _folders() -> Folders:
    """What all seeds of a process upload."""
    root = Path(tempfile.mkdtemp(prefix="sheaf-torture-"))
    Finalize(None, shutil.rmtree, (root,), exitpriority=0)
    return Folders(root)


def _play(seed: int) -> tuple[int, str]:
    with tempfile.TemporaryDirectory(prefix="sheaf-torture-") as folder, tiny():
        try:
            play(seed, _folders())
            for ambush in share(seed):
                spring(ambush, Path(folder))
        except Exception:  # any of them means that this seed is to be looked at
            return seed, traceback.format_exc()
    return seed, ""


if __name__ == "__main__":
    sys.exit(main())
