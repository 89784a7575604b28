"""Every operation that changes a store, stopped at every write that it makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from tests.crash.builders import OPERATIONS, Operation, View, World, assert_kept, process, view

from sheaf.errors import Denied, NoSpace, SheafError, Unavailable
from sheaf.storage.buffers import views
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend, Buffer, Created
from sheaf.storage.wrappers.retry import RetryBackend, RetryPolicy
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.testing.faults import Fault, FaultyBackend, survives_every_crash
from sheaf.testing.invariants import assert_sound

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def undisturbed(world: World, operation: Operation) -> tuple[View, int]:
    """What a person sees after the operation, and how many writes it takes."""
    backend = FaultyBackend(world.copy())
    with process(backend, "actor") as store:
        operation.run(world, store, lambda id: None)
        assert operation.done(world, store)
    return view(backend.inner), backend.written


def do_again(world: World, operation: Operation, backend: Backend) -> None:
    """Asked again by another process, it succeeds, or says that it was done before; and then it is done."""
    with process(backend, "again", later_s=60) as store:
        done = operation.done(world, store)
        if done and operation.refusal:
            with pytest.raises(operation.refusal):
                operation.run(world, store, lambda id: None)
        else:
            operation.run(world, store, lambda id: None)
        assert operation.done(world, store)
        assert_sound(store)


@each_operation
def test_no_crash_loses_anything(world: World, operation: Operation) -> None:
    before, (after, expected) = view(world.backend), undisturbed(world, operation)
    acknowledged: list[str] = []

    def setup() -> MemoryBackend:
        acknowledged.clear()
        return world.copy()

    def run(backend: Backend) -> None:
        with process(backend, "actor") as store:
            operation.run(world, store, acknowledged.append)

    def check(backend: Backend) -> None:
        with process(backend, "checker") as store:
            assert_sound(store)
        assert_kept(backend, before, acknowledged, after)
        do_again(world, operation, backend)

    assert survives_every_crash(setup, run, check) == expected


def disturbed(world: World, operation: Operation) -> Iterator[tuple[str, FaultyBackend]]:
    """A fresh store for each way to disturb one write: it is not made, or its answer is lost."""
    _, writes = undisturbed(world, operation)
    for nth in range(1, writes + 1):
        for fault in (Fault.LOST, Fault.FAIL):
            yield f"write {nth}: {fault.value}", FaultyBackend(world.copy(), {nth: fault})


@each_operation
def test_a_lost_answer_goes_unnoticed_where_calls_are_repeated(world: World, operation: Operation) -> None:
    after, _ = undisturbed(world, operation)
    for where, faulty in disturbed(world, operation):
        backend = RetryBackend(faulty, RetryPolicy(sleep=lambda seconds: None))
        with process(backend, "actor") as store:
            operation.run(world, store, lambda id: None)
            assert operation.done(world, store), where
            assert_sound(store)
        assert view(faulty.inner) == after, where


@each_operation
def test_a_process_that_lost_an_answer_can_go_on(world: World, operation: Operation) -> None:
    before, (after, _) = view(world.backend), undisturbed(world, operation)
    for where, faulty in disturbed(world, operation):
        acknowledged: list[str] = []
        with process(faulty, "actor") as store:
            try:
                operation.run(world, store, acknowledged.append)
            except Unavailable:
                pass
            assert_kept(faulty.inner, before, acknowledged, after)
            try:
                operation.run(world, store, acknowledged.append)
            except SheafError as error:
                assert operation.refusal and isinstance(error, operation.refusal), where
            assert operation.done(world, store), where
            assert_sound(store)


@each_operation
@pytest.mark.parametrize("error", [NoSpace("full"), Denied("no")], ids=lambda error: error.kind)
def test_a_disk_that_fills_up_is_told_and_harms_nothing(world: World, operation: Operation, error: SheafError) -> None:
    before, (after, writes) = view(world.backend), undisturbed(world, operation)
    for nth in range(1, writes + 1):
        faulty = FaultyBackend(world.copy(), dict.fromkeys(range(nth, 999), error))
        acknowledged: list[str] = []
        with process(faulty, "actor") as store:
            try:
                operation.run(world, store, acknowledged.append)
            except SheafError as raised:
                assert raised is error, f"write {nth}"
        assert_kept(faulty.inner, before, acknowledged, after)
        do_again(world, operation, faulty.inner)


class PacksLast(WrapperBackend):
    """Breaks the rule: says that packs are written, and writes them after the record that needs them."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._later: list[tuple[str, bytes]] = []

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        if key.startswith("packs/"):
            self._later.append((key, b"".join(views(data))))
            return Created.CREATED
        answer = self.inner.create(key, data)
        if "log/" in key:
            for late, content in self._later:
                self.inner.create(late, content)
        return answer


def test_the_loop_would_notice_a_record_that_comes_too_early(world: World) -> None:
    def run(backend: Backend) -> None:
        with process(PacksLast(backend), "actor") as store:
            OPERATIONS[0].run(world, store, lambda id: None)

    def check(backend: Backend) -> None:
        with process(backend, "checker") as store:
            assert_sound(store)

    with pytest.raises(AssertionError, match=r"missing|does not contain|lacks"):
        survives_every_crash(world.copy, run, check)
