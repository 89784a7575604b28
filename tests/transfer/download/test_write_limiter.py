"""Turns at writing small files: a few threads at once, all of them where they mostly wait."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from sheaf.transfer.download.files.write_limiter import Turns


def most_at_once(turns: Turns, threads: int) -> int:
    """How many of the threads were inside a turn at the same time; each stays until all that can come have come."""
    inside, most, lock, full = 0, 0, threading.Lock(), threading.Event()

    def one(_: int) -> None:
        nonlocal inside, most
        with turns.turn():
            with lock:
                inside += 1
                most = max(most, inside)
                if inside == threads:
                    full.set()
            full.wait(0.05)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(threads)))
    return most


def test_two_threads_write_at_once() -> None:
    assert most_at_once(Turns(), 6) == 2


@dataclass
class Clock:
    """Both clocks of a thread, moved by hand."""

    wall: float = 0.0
    cpu: float = 0.0

    def perf_counter(self) -> float:
        return self.wall

    def thread_time(self) -> float:
        return self.cpu


@pytest.mark.parametrize(("waited", "over"), [(10.0, True), (1.0, False)])
def test_turns_end_where_threads_mostly_wait(monkeypatch: pytest.MonkeyPatch, waited: float, over: bool) -> None:
    turns, clock = Turns(), Clock()
    monkeypatch.setattr("sheaf.transfer.download.files.write_limiter.time", clock)
    with turns.turn():
        clock.cpu += 1.0
        clock.wall += 1.0 + waited
    assert turns.are_over is over
    assert most_at_once(turns, 6) == (6 if over else 2)
