from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from sheaf.transfer.progress import Meter, ProgressState


def test_counts_from_many_threads_add_up() -> None:
    meter = Meter(phase="x")
    with ThreadPoolExecutor(4) as pool:
        for _ in range(1000):
            pool.submit(meter.add, files=1, size=10, new=3)
    assert meter.state == ProgressState("x", 1000, None, 10_000, None, 3000)


def test_it_is_told_at_a_bearable_rate_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("sheaf.transfer.progress.time.monotonic", lambda: clock[0])
    told: list[ProgressState] = []
    meter = Meter(told.append, "read")
    for _ in range(100):
        meter.add_file()
        clock[0] += 0.01
    assert 9 <= len(told) <= 11
    meter.finish()
    assert told[-1].files == 100


def test_totals_grow_and_phases_change() -> None:
    told: list[ProgressState] = []
    meter = Meter(told.append)
    meter.add_total(files=2, size=30)
    meter.add_total(files=1, size=5)
    meter.start("write")
    assert told[-1] == ProgressState("write", 0, 3, 0, 35, 0)


def test_what_the_listener_raises_stops_the_work() -> None:
    def listener(_: ProgressState) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Meter(listener).add_bytes(1)
