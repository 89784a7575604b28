"""What encryption costs: uploads and downloads of many small files and of a big one, plain and encrypted in turns.

    python -m bench.encryption FOLDER [FILES MIB ROUNDS]

Prints for each step CPU and wall time, plain and encrypted, and their ratio; then stored bytes.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import sheaf
from bench.generate.big import half_compressible
from bench.generate.small import small_files

__all__ = ["measure"]

KEYS = {"plain": None, "encrypted": bytes(range(32))}
Spent = dict[tuple[str, str], list[tuple[float, float]]]


def measure(folder: Path, files: int, mib: int, rounds: int) -> tuple[Spent, dict[tuple[str, str], int]]:
    """(CPU, wall) seconds by (step, kind of store) for each round; stored bytes by (data, kind of store)."""
    data = {"small": folder / "small", "big": folder / "big"}
    small_files(data["small"], files)
    data["big"].mkdir()
    half_compressible(data["big"] / "big.bin", mib << 20)
    time.sleep(2.2)
    spent: Spent = defaultdict(list)
    stored: dict[tuple[str, str], int] = {}
    for n in range(rounds):
        for name, source in data.items():
            for kind in KEYS if n % 2 else reversed(KEYS):
                url = folder / f"{kind}-{name}-{n}"
                stored[name, kind] = _round(
                    url, source, kind, lambda step, action: spent[step].append(_timed(action)), name
                )
                shutil.rmtree(url)
    return spent, stored


def _round(url: Path, source: Path, kind: str, note: Callable[..., None], name: str) -> int:
    with sheaf.init(str(url), key=KEYS[kind], probe=False) as store:
        repo = store.create_repo("bench")
        note((f"upload {name}", kind), lambda: repo.upload(source, message="bench"))
        size = store.info().stored_bytes
    with sheaf.connect(str(url), key=KEYS[kind]) as store:
        target = url.with_name("out")
        note((f"download {name}", kind), lambda: store.repo("bench").bundle().download(target))
        shutil.rmtree(target)
    return size


def _timed(action: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    action()
    return time.process_time() - cpu, time.perf_counter() - wall


def _shown(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s (least {min(seconds):.2f})"


def _ratio(one: list[float], two: list[float]) -> str:
    return f"{statistics.median(one) / statistics.median(two):.2f} (of the least {min(one) / min(two):.2f})"


def main(folder: Path, files: int = 20_000, mib: int = 512, rounds: int = 5) -> None:
    """Measure in a new folder and print."""
    folder.mkdir()
    spent, stored = measure(folder, files, mib, rounds)
    for step in dict.fromkeys(step for step, _ in spent):
        for what, at in (("CPU", 0), ("wall", 1)):
            plain, coded = ([run[at] for run in spent[step, kind]] for kind in KEYS)
            print(f"{step}: {what} {_shown(plain)} plain, {_shown(coded)} encrypted, ratio {_ratio(coded, plain)}")
    for name in dict.fromkeys(name for name, _ in stored):
        plain, coded = (stored[name, kind] for kind in KEYS)
        print(f"stored {name}: {plain} bytes plain, {coded} encrypted, ratio {coded / plain:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
