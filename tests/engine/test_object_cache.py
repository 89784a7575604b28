"""Copies on this machine: of use while they are there and sound, and never in the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engine.builders import Place, Recorder, commit, flipped

from sheaf.engine.clock import SystemClock, parse_time, rfc3339
from sheaf.engine.core import Core
from sheaf.engine.object_cache import FolderCache
from sheaf.errors import Corrupt, NotFound
from sheaf.model.ids import is_ksuid, ksuid
from sheaf.storage.wrappers.wrapper import WrapperBackend

KEY = "nodes/ab/cdef"


def decoded(data: bytes) -> bytes:
    if not data.startswith(b"sound"):
        raise Corrupt("not sound")
    return data


@pytest.fixture
def cached(core: Core, tmp_path: Path) -> Core:
    core.backend.create(KEY, b"sound bytes")
    return Core(Recorder(core.backend), core.config, cache=FolderCache(tmp_path / "cache"))


def gets(core: Core) -> int:
    assert isinstance(core.backend, Recorder)
    return core.backend.calls.count(("get", KEY))


def test_an_object_is_fetched_once(cached: Core) -> None:
    for _ in range(3):
        assert cached.load(KEY, decoded) == b"sound bytes"
    assert gets(cached) == 1


def test_a_damaged_copy_is_replaced(cached: Core) -> None:
    for damage in (b"", b"rubbish", b"soun"):
        cached.cache.put(KEY, damage)
        assert cached.load(KEY, decoded) == b"sound bytes"
        assert cached.cache.get(KEY) == b"sound bytes"


def _giant(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), _giant],
    ids=["pipe", "endless", "giant"],
)
def test_what_is_no_copy_is_not_read(cached: Core, tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "cache" / KEY
    path.parent.mkdir(parents=True)
    make(path)
    assert cached.cache.get(KEY) is None
    assert cached.load(KEY, decoded) == b"sound bytes"
    assert cached.cache.get(KEY) == b"sound bytes"


def test_a_damaged_object_is_not_kept(cached: Core) -> None:
    cached.backend.delete(KEY)
    cached.backend.create(KEY, b"rubbish")
    with pytest.raises(Corrupt):
        cached.load(KEY, decoded)
    assert cached.cache.get(KEY) is None


def test_what_is_not_there_is_not_found(cached: Core) -> None:
    with pytest.raises(NotFound):
        cached.load("nodes/00/nothing", decoded)


def test_a_cache_that_is_in_the_way_is_no_error(core: Core, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    core.backend.create(KEY, b"sound bytes")
    cached = Core(core.backend, core.config, cache=FolderCache(tmp_path / "cache"))
    assert cached.load(KEY, decoded) == b"sound bytes"
    cached.cache.drop(KEY)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_can_not_be_written_is_no_error(core: Core, tmp_path: Path) -> None:
    core.backend.create(KEY, b"sound bytes")
    cache = FolderCache(tmp_path / "cache")
    cache.put(KEY, b"rubbish")
    (tmp_path / "cache/nodes/ab").chmod(0o500)
    assert Core(core.backend, core.config, cache=cache).load(KEY, decoded) == b"sound bytes"


class Far(WrapperBackend):
    """A store that is not on this machine, so that copies are kept."""

    def __init__(self, inner: Recorder) -> None:
        super().__init__(inner)
        self.url = "far://store"


def test_a_far_store_is_asked_less_the_second_time(place: Place, tmp_path: Path) -> None:
    commit(place.repo(), {"a": b"a"})
    asked = []
    for _ in range(2):
        recorder = Recorder(place.backend)
        assert place.repo(Far(recorder), cache=tmp_path / "cache").bundle().read("a") == b"a"
        asked.append(len(recorder.calls))
    assert asked[1] < asked[0]
    for copy in (tmp_path / "cache").rglob("*"):
        if copy.is_file():
            copy.write_bytes(flipped(copy.read_bytes(), 8))
    assert place.repo(Far(Recorder(place.backend)), cache=tmp_path / "cache").bundle().read("a") == b"a"


# -- the clock ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ns", [0, 1, 10**9 - 1, 1_790_000_000_123_456_789, 4_000_000_000 * 10**9])
def test_a_time_comes_back_to_the_microsecond(ns: int) -> None:
    moment = parse_time(rfc3339(ns))
    assert moment.utcoffset() is not None
    assert round(moment.timestamp() * 10**6) == ns // 1000
    assert rfc3339(ns).endswith("Z") and len(rfc3339(ns)) == len("2026-11-21T01:02:03.000004Z")


def test_what_is_no_time_is_damage() -> None:
    with pytest.raises(Corrupt, match="yesterday"):
        parse_time("yesterday")


def test_the_clock_of_the_machine_makes_ids_of_now() -> None:
    clock = SystemClock()
    ids = [clock.new_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(is_ksuid(id) for id in ids)
    now = clock.now_ns() // 10**9
    assert ksuid(now - 1, bytes(16)) <= ids[0] <= ksuid(now + 1, b"\xff" * 16)
