"""The suite notices what it is there to notice: each backend here breaks one rule, and a test fails on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from sheaf.errors import NotFound, SheafError
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.torture.promises import DEPENDS
from sheaf.torture.suite import CASES
from sheaf.torture.trial import Trial
from sheaf.torture.whole_store.claims import Broken


class Overwrites(WrapperBackend):
    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        self.inner.delete(key)
        return self.inner.create(key, data)


class SaysExists(WrapperBackend):
    """Calls everything that is there somebody else's."""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        answer = self.inner.create(key, data)
        return Created.OTHER if answer is Created.MINE else answer


class SaysMine(WrapperBackend):
    """Calls everything that is there our own."""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        answer = self.inner.create(key, data)
        return Created.MINE if answer is Created.OTHER else answer


class WritesFirstBufferOnly(WrapperBackend):
    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        return self.inner.create(key, data if isinstance(data, bytes | bytearray | memoryview) else list(data)[:1])


class ListsOnePage(WrapperBackend):
    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return iter(list(self.inner.list(prefix, sort=sort))[:1000])


class ListsFoldersOnly(WrapperBackend):
    """Takes a prefix for a folder, as the library below does."""

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return self.inner.list(prefix if not prefix or prefix.endswith("/") else f"{prefix}/", sort=sort)


class SortsByFolder(WrapperBackend):
    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return iter(sorted(self.inner.list(prefix), key=lambda stat: stat.key.split("/")))


class NewestIsLast(WrapperBackend):
    def newest(self, prefix: str) -> str | None:
        return next((stat.key for stat in reversed(list(self.inner.list(prefix)))), None)


class ClipsRanges(WrapperBackend):
    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        whole = self.inner.get(key)
        return [whole[offset : offset + length] for offset, length in ranges]


class SortsRanges(WrapperBackend):
    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        return self.inner.get_ranges(key, sorted(ranges))


class IgnoresTheLimit(WrapperBackend):
    def get(self, key: str, limit: int = LARGEST) -> bytes:
        return self.inner.get(key)


class DeleteComplains(WrapperBackend):
    def delete(self, key: str) -> None:
        if self.inner.stat(key) is None:
            raise NotFound(f"no object {key}")
        self.inner.delete(key)


class TakesAnyKey(WrapperBackend):
    def stat(self, key: str) -> Stat | None:
        return self.inner.stat(key) if key.isalnum() else None


def failures(make: Callable[[], Backend]) -> set[str]:
    """The names of the cases that fail."""
    failed = set()
    for case in CASES:
        try:
            case.run(Trial(make()))
        except (Broken, SheafError):
            failed.add(case.name)
    return failed


def test_the_reference_passes() -> None:
    assert failures(MemoryBackend) == set()


def test_every_case_has_a_name_of_its_own_and_a_promise_that_somebody_depends_on() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 40
    assert {case.promise for case in CASES} <= DEPENDS.keys()


@pytest.mark.parametrize(
    "breaker",
    [
        Overwrites,
        SaysExists,
        SaysMine,
        WritesFirstBufferOnly,
        ListsOnePage,
        ListsFoldersOnly,
        SortsByFolder,
        NewestIsLast,
        SortsRanges,
        DeleteComplains,
        TakesAnyKey,
        ClipsRanges,
        IgnoresTheLimit,
    ],
)
def test_a_broken_rule_fails(breaker: type[WrapperBackend]) -> None:
    assert failures(lambda: breaker(MemoryBackend()))
