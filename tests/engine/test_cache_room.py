from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sheaf.engine.object_cache import ROOM, FolderCache, room_of, set_room, shrink, use_of

KIB = 1024


def test_a_cache_keeps_to_its_room_and_drops_what_was_used_longest_ago(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path, room=64 * KIB)
    for n in range(200):
        cache.put(f"a/{n:03}", bytes([n]) * KIB)
        os.utime(tmp_path / f"a/{n:03}", ns=(n, n)) if (tmp_path / f"a/{n:03}").exists() else None
    assert use_of(tmp_path).bytes <= 64 * KIB
    assert cache.get("a/199") == bytes([199]) * KIB
    assert cache.get("a/000") is None


def test_what_is_used_stays(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path, room=1 << 20)
    for n in range(10):
        cache.put(str(n), b"x" * KIB)
        os.utime(tmp_path / str(n), ns=(n, n))
    assert cache.get("0") is not None
    shrink(tmp_path, 2 * KIB)
    assert cache.get("0") is not None
    assert cache.get("1") is None


def test_the_room_is_said_once_for_all(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert room_of(cache) == ROOM
    set_room(cache, 5 << 30)
    assert room_of(cache) == 5 << 30
    (cache / "limit").write_text("much")
    assert room_of(cache) == ROOM


def test_what_is_not_there_takes_nothing(tmp_path: Path) -> None:
    assert use_of(tmp_path / "nothing").files == 0
    shrink(tmp_path / "nothing", 0)


_WORKER = """
import sys
from pathlib import Path
from sheaf.engine.object_cache import FolderCache
cache = FolderCache(Path(sys.argv[1]), room=96 * 1024)
for turn in range(300):
    n = (turn * 7 + int(sys.argv[2])) % 200
    data = cache.get(str(n))
    if data not in (None, bytes([n]) * 1500):
        sys.exit("half a file")
    if data is None:
        cache.put(str(n), bytes([n]) * 1500)
    if turn % 50 == 0:
        cache.drop(str(n))
"""


def test_many_processes_share_a_cache_while_it_is_cut_and_cleared(tmp_path: Path) -> None:
    env = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def work(n: int) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", _WORKER, str(tmp_path), str(n)]
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(work, n) for n in range(4)]
        while not all(one.done() for one in done):
            shrink(tmp_path, 0)
    assert [one.result().stderr for one in done] == [""] * 4
    shrink(tmp_path, 0)
    assert use_of(tmp_path).files == 0
