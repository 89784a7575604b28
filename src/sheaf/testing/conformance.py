"""What every backend must do. Subclass, give a ``backend`` fixture, inherit the tests.

    class TestMine(BackendConformance):
        @pytest.fixture
        def backend(self):
            return MyBackend(...)          # empty

Needs pytest. The memory backend is the reference: where this suite is silent, it decides.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ClassVar, TypeVar

import pytest

from sheaf.errors import Corrupt, InvalidInput, NotFound
from sheaf.storage.port import Backend, Buffer, Created, Stat

__all__ = ["BackendConformance"]

T = TypeVar("T")

_MIB = 1 << 20


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes that differ at every place and for every seed, so that a swapped range shows."""
    return random.Random(seed).randbytes(size)


class BackendConformance:
    """The tests. Class attributes bend them for slow stores; they never leave out a rule."""

    #: Size of the largest object tried, in bytes: above what clients cut into parts.
    large: ClassVar[int] = 33 * _MIB
    #: Number of keys in the long listing: above a page of S3.
    many: ClassVar[int] = 1_050
    #: Threads used at once.
    threads: ClassVar[int] = 8

    # ── create ────────────────────────────────────────────────────────────────

    def test_create_makes_an_object_that_reads_back(self, backend: Backend) -> None:
        assert backend.create("a/b", b"hello") is Created.CREATED
        assert backend.get("a/b") == b"hello"

    def test_create_again_with_the_same_bytes_is_mine(self, backend: Backend) -> None:
        backend.create("key", b"same")
        assert backend.create("key", b"same") is Created.MINE

    def test_create_again_with_other_bytes_is_other_and_changes_nothing(self, backend: Backend) -> None:
        backend.create("key", b"first")
        assert backend.create("key", b"secon") is Created.OTHER
        assert backend.get("key") == b"first"

    @pytest.mark.parametrize("other", [b"firs", b"first!", b"", b"First"])
    def test_nearly_the_same_bytes_are_other(self, backend: Backend, other: bytes) -> None:
        backend.create("key", b"first")
        assert backend.create("key", other) is Created.OTHER

    def test_an_empty_object_is_an_object(self, backend: Backend) -> None:
        assert backend.create("empty", b"") is Created.CREATED
        assert backend.create("empty", []) is Created.MINE
        assert backend.get("empty") == b""
        assert backend.stat("empty") == Stat("empty", 0)

    def test_an_empty_object_is_not_taken_for_any_other(self, backend: Backend) -> None:
        backend.create("empty", b"")
        assert backend.create("empty", b"x") is Created.OTHER

    @pytest.mark.parametrize("size", [1, 4096, _MIB])
    def test_sizes(self, backend: Backend, size: int) -> None:
        data = pattern(size)
        backend.create("sized", data)
        assert backend.get("sized") == data

    def test_a_large_object(self, backend: Backend) -> None:
        data = pattern(self.large)
        assert backend.create("large", data) is Created.CREATED
        assert backend.stat("large") == Stat("large", len(data))
        assert backend.get("large") == data
        assert backend.create("large", data) is Created.MINE

    def test_many_buffers_are_one_object(self, backend: Backend) -> None:
        data = pattern(300_000)
        parts: list[Buffer] = [data[:1], b"", bytearray(data[1:1000]), memoryview(data)[1000:250_000], data[250_000:]]
        assert backend.create("parts", parts) is Created.CREATED
        assert backend.get("parts") == data
        assert backend.create("parts", data) is Created.MINE

    def test_more_buffers_than_one_system_call_takes(self, backend: Backend) -> None:
        data = pattern(5_000)
        assert backend.create("crumbs", [data[at : at + 1] for at in range(len(data))]) is Created.CREATED
        assert backend.get("crumbs") == data

    def test_buffers_of_wider_items_are_taken_as_bytes(self, backend: Backend) -> None:
        wide = memoryview(pattern(80)).cast("Q")
        backend.create("wide", wide)
        assert backend.get("wide") == wide.tobytes()

    def test_changing_a_buffer_afterwards_does_not_change_the_object(self, backend: Backend) -> None:
        buffer = bytearray(b"before")
        backend.create("key", buffer)
        buffer[:] = b"after!"
        assert backend.get("key") == b"before"

    def test_of_many_creators_of_one_key_exactly_one_wins(self, backend: Backend) -> None:
        bodies = [f"writer {n}".encode() for n in range(self.threads)]
        answers = self._at_once([partial(backend.create, "race", body) for body in bodies])
        assert sorted(a.value for a in answers) == ["created", *["other"] * (self.threads - 1)]
        assert backend.get("race") == bodies[answers.index(Created.CREATED)]

    def test_of_many_creators_of_equal_bytes_one_creates_and_all_succeed(self, backend: Backend) -> None:
        answers = self._at_once([lambda: backend.create("race", b"equal")] * self.threads)
        assert answers.count(Created.CREATED) == 1
        assert answers.count(Created.MINE) == self.threads - 1

    def test_many_threads_write_many_keys_in_new_folders(self, backend: Backend) -> None:
        keys = [f"new/{n % 7}/{n % 3}/k{n}" for n in range(40)]
        answers = self._at_once([partial(backend.create, key, key.encode()) for key in keys])
        assert set(answers) == {Created.CREATED}
        assert [stat.key for stat in backend.list("new/", sort=True)] == sorted(keys)
        assert all(backend.get(key) == key.encode() for key in keys)

    # ── keys ──────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("key", ["a", "A-1_2.3/x", "..a/b..", ".a", "a" * 255, "/".join(["d" * 99] * 10), "x.y/-"])
    def test_good_keys(self, backend: Backend, key: str) -> None:
        assert backend.create(key, b"x") is Created.CREATED
        assert backend.get(key) == b"x"
        assert [stat.key for stat in backend.list()] == [key]

    @pytest.mark.parametrize(
        "key",
        ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a b", "é", "a\n", "a\0", "a%41", "tmp/x", "a" * 256],
    )
    def test_bad_keys_are_refused_everywhere(self, backend: Backend, key: str) -> None:
        calls: list[Callable[[], object]] = [
            lambda: backend.create(key, b"x"),
            lambda: backend.get(key),
            lambda: backend.get_ranges(key, [(0, 1)]),
            lambda: backend.stat(key),
            lambda: backend.delete(key),
        ]
        for call in calls:
            with pytest.raises(InvalidInput):
                call()
        assert list(backend.list()) == []

    @pytest.mark.parametrize("prefix", ["/", "a//", "../", "a b", "./x"])
    def test_bad_prefixes_are_refused(self, backend: Backend, prefix: str) -> None:
        with pytest.raises(InvalidInput):
            list(backend.list(prefix))
        with pytest.raises(InvalidInput):
            backend.newest(prefix)

    def test_keys_that_differ_in_case_only_can_be_told_apart_by_their_folder(self, backend: Backend) -> None:
        backend.create("lower/abc", b"1")
        backend.create("upper/ABC", b"2")
        assert (backend.get("lower/abc"), backend.get("upper/ABC")) == (b"1", b"2")

    # ── reading ───────────────────────────────────────────────────────────────

    def test_a_missing_object_is_not_found(self, backend: Backend) -> None:
        backend.create("a/b", b"x")
        for key in ("nothing", "a", "a/b/c", "a/bb", "b/a"):
            with pytest.raises(NotFound) as caught:
                backend.get(key)
            assert key in caught.value.message
            assert backend.stat(key) is None

    def test_ranges_come_in_the_order_asked(self, backend: Backend) -> None:
        data = self._stored(backend, "ranged", 2 * _MIB)
        ranges = [(5, 10), (0, 1), (len(data) - 3, 3), (1_000_000, 70_000), (5, 10)]
        assert self._read(backend, "ranged", ranges) == [data[at : at + length] for at, length in ranges]

    def test_adjacent_and_overlapping_ranges(self, backend: Backend) -> None:
        data = self._stored(backend, "ranged", 10_000)
        ranges = [(0, 100), (100, 100), (150, 100), (100, 50), (0, 10_000)]
        assert self._read(backend, "ranged", ranges) == [data[at : at + length] for at, length in ranges]

    def test_hundreds_of_ranges(self, backend: Backend) -> None:
        data = self._stored(backend, "ranged", _MIB)
        ranges = [(at, 333) for at in random.Random(1).sample(range(_MIB - 333), 300)]
        assert self._read(backend, "ranged", ranges) == [data[at : at + length] for at, length in ranges]

    def test_ranges_of_no_length_are_empty(self, backend: Backend) -> None:
        data = self._stored(backend, "ranged", 100)
        assert self._read(backend, "ranged", [(0, 0), (50, 10), (500, 0)]) == [b"", data[50:60], b""]
        assert self._read(backend, "ranged", [(0, 0)]) == [b""]

    def test_no_ranges_are_no_answer(self, backend: Backend) -> None:
        self._stored(backend, "ranged", 100)
        assert self._read(backend, "ranged", []) == []

    @pytest.mark.parametrize("ranges", [[(0, 101)], [(100, 1)], [(5_000, 1)], [(0, 10), (95, 10)]])
    def test_a_range_past_the_end_is_corrupt(self, backend: Backend, ranges: list[tuple[int, int]]) -> None:
        self._stored(backend, "ranged", 100)
        with pytest.raises(Corrupt, match="ranged"):
            backend.get_ranges("ranged", ranges)

    def test_a_range_of_an_empty_object_is_corrupt(self, backend: Backend) -> None:
        backend.create("empty", b"")
        with pytest.raises(Corrupt):
            backend.get_ranges("empty", [(0, 1)])

    def test_ranges_of_a_missing_object_are_not_found(self, backend: Backend) -> None:
        for ranges in ([(0, 1)], [(0, 1), (10, 10)]):
            with pytest.raises(NotFound, match="nothing"):
                backend.get_ranges("nothing", ranges)

    @pytest.mark.parametrize("bad", [(-1, 1), (0, -1)])
    def test_negative_ranges_are_refused(self, backend: Backend, bad: tuple[int, int]) -> None:
        self._stored(backend, "ranged", 10)
        with pytest.raises(InvalidInput):
            backend.get_ranges("ranged", [bad])

    def test_stat_tells_key_and_size(self, backend: Backend) -> None:
        backend.create("x/y", b"12345")
        assert backend.stat("x/y") == Stat("x/y", 5)
        assert backend.stat("x") is None

    def test_many_threads_read_at_once(self, backend: Backend) -> None:
        data = self._stored(backend, "shared", 200_000)
        reads = [partial(self._read, backend, "shared", [(at, 1000)]) for at in range(0, 160_000, 1000)]
        assert self._at_once(reads) == [[data[at : at + 1000]] for at in range(0, 160_000, 1000)]

    # ── listing ───────────────────────────────────────────────────────────────

    def test_an_empty_store_lists_nothing(self, backend: Backend) -> None:
        assert list(backend.list()) == []
        assert list(backend.list("a/b/")) == []
        assert backend.newest("a/") is None
        assert backend.newest("") is None

    def test_a_listing_has_keys_and_sizes(self, backend: Backend) -> None:
        backend.create("a/x", b"1")
        backend.create("b", b"22")
        assert sorted(backend.list(), key=lambda stat: stat.key) == [Stat("a/x", 1), Stat("b", 2)]

    def test_a_prefix_is_a_plain_string_prefix(self, backend: Backend) -> None:
        for key in ("ab/c", "abc", "abd/x/y", "ac", "b/ab"):
            backend.create(key, b"")
        assert self._keys(backend, "ab") == ["ab/c", "abc", "abd/x/y"]
        assert self._keys(backend, "ab/") == ["ab/c"]
        assert self._keys(backend, "abd/x/") == ["abd/x/y"]
        assert self._keys(backend, "abd/x/y") == ["abd/x/y"]
        assert self._keys(backend, "abc/") == []
        assert self._keys(backend, "abcd") == []

    def test_sorted_is_bytewise_over_the_whole_key(self, backend: Backend) -> None:
        keys = ["a-b", "a.b", "a/b", "a/b-c", "a/b.d/e", "a/bb", "a0", "aB/c", "aa", "B", "a_"]
        for key in keys:
            backend.create(key, b"")
        assert [stat.key for stat in backend.list(sort=True)] == sorted(keys)
        assert [stat.key for stat in backend.list("a", sort=True)] == sorted(key for key in keys if key[0] == "a")

    def test_a_store_that_calls_itself_ordered_is(self, backend: Backend) -> None:
        keys = [f"{chr(97 + n % 5)}/{n * 7919 % 100:03}" for n in range(40)]
        for key in keys:
            backend.create(key, b"")
        if backend.ordered:
            assert [stat.key for stat in backend.list()] == sorted(keys)

    def test_a_listing_longer_than_a_page(self, backend: Backend) -> None:
        keys = [f"page/{n:05}" for n in range(self.many)]
        self._at_once([partial(backend.create, key, b"x") for key in keys])
        assert [stat.key for stat in backend.list("page/", sort=True)] == keys
        assert len(list(backend.list("page/"))) == self.many
        assert backend.newest("page/") == keys[0]

    def test_newest_is_the_least_key(self, backend: Backend) -> None:
        last = 10**15 - 1
        numbered = [f"log/{str(last - n)[:12]}/{last - n}.json" for n in (0, 1, 2, 998, 999, 1_000, 1_001, 2_345)]
        for key in numbered:
            backend.create(key, b"")
            assert backend.newest("log/") == key
        assert backend.newest("lo") == numbered[-1]
        assert backend.newest("log/x") is None

    def test_newest_passes_over_folders_that_became_empty(self, backend: Backend) -> None:
        for key in ("log/1/a", "log/2/b", "other"):
            backend.create(key, b"")
        backend.delete("log/1/a")
        assert backend.newest("log/") == "log/2/b"
        backend.delete("log/2/b")
        assert backend.newest("log/") is None

    def test_newest_does_not_look_beyond_the_prefix(self, backend: Backend) -> None:
        backend.create("a/1", b"")
        backend.create("c/1", b"")
        assert backend.newest("b/") is None

    def test_what_was_created_before_a_listing_is_in_it(self, backend: Backend) -> None:
        for n in range(12):
            backend.create(f"seen/{n:02}", b"")
            assert len(list(backend.list("seen/"))) == n + 1

    # ── delete ────────────────────────────────────────────────────────────────

    def test_a_deleted_object_is_gone(self, backend: Backend) -> None:
        backend.create("x/gone", b"1")
        backend.create("x/kept", b"2")
        backend.delete("x/gone")
        assert backend.stat("x/gone") is None
        assert self._keys(backend, "") == ["x/kept"]
        with pytest.raises(NotFound):
            backend.get("x/gone")

    def test_delete_may_be_repeated(self, backend: Backend) -> None:
        backend.create("gone", b"1")
        for _ in range(2):
            backend.delete("gone")
        backend.delete("never/was")
        backend.delete("gone/deeper")

    def test_a_deleted_key_is_free_again(self, backend: Backend) -> None:
        backend.create("key", b"1")
        backend.delete("key")
        assert backend.create("key", b"2") is Created.CREATED
        assert backend.get("key") == b"2"

    def test_deleting_a_folder_name_deletes_nothing(self, backend: Backend) -> None:
        backend.create("a/b", b"1")
        backend.delete("a")
        assert backend.get("a/b") == b"1"

    # ── the rest ──────────────────────────────────────────────────────────────

    def test_the_url_is_one_line_without_query(self, backend: Backend) -> None:
        assert "://" in backend.url
        assert not {"\n", "?", "@"} & set(backend.url)

    def test_a_backend_closes_as_a_context(self, backend: Backend) -> None:
        with backend as same:
            assert same is backend
            same.create("key", b"x")

    # ── help ──────────────────────────────────────────────────────────────────

    def _at_once(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """What the calls return, made from several threads that start together."""
        start = threading.Barrier(min(self.threads, len(calls)))
        first = set(range(start.parties))

        def run(n: int) -> T:
            if n in first:
                start.wait(30)
            return calls[n]()

        with ThreadPoolExecutor(start.parties) as pool:
            return list(pool.map(run, range(len(calls))))

    @staticmethod
    def _stored(backend: Backend, key: str, size: int) -> bytes:
        data = pattern(size)
        backend.create(key, data)
        return data

    @staticmethod
    def _read(backend: Backend, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [bytes(buffer) for buffer in backend.get_ranges(key, ranges)]

    @staticmethod
    def _keys(backend: Backend, prefix: str) -> list[str]:
        return sorted(stat.key for stat in backend.list(prefix))
