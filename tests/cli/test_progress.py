from __future__ import annotations

import contextlib
import io
import sys

import pytest

from sheaf.cli.output.progress_bar import Bar
from sheaf.transfer.progress import ProgressState

STATE = ProgressState("upload", 3, 10, 5 << 20, 20 << 20, 1 << 20)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _drawn(bar: Bar, states: list[ProgressState]) -> str:
    terminal = _Terminal()
    with contextlib.redirect_stderr(terminal), bar:
        for state in states:
            bar(state)
    return terminal.getvalue()


def test_nothing_is_drawn_where_nobody_looks() -> None:
    assert _drawn(Bar("upload", is_wanted=False), [STATE]) == ""


def test_nothing_is_drawn_in_the_first_second() -> None:
    assert _drawn(Bar("upload", is_wanted=True), [STATE]) == ""


def test_later_files_bytes_and_what_was_new_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    text = _drawn(Bar("upload", is_wanted=True, quiet_s=0), [STATE, STATE])
    assert "3/10 files" in text
    assert "5.0/20.0 MiB" in text
    assert "1.0 MiB new" in text
    assert "kB" not in text and "MB" not in text


def test_sizes_and_speeds_have_the_same_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    states = [ProgressState("upload", 0, 1, done << 20, 20 << 20, 0) for done in range(21)]
    text = _drawn(Bar("upload", is_wanted=True, quiet_s=0), states)
    assert "iB/s" in text and "MB/s" not in text and "GB/s" not in text


def test_what_has_no_bytes_is_shown_by_its_own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    text = _drawn(
        Bar("torture", is_wanted=True, quiet_s=0, unit="steps"), [ProgressState("exclusive create", 3, 10, 0, 0, 0)]
    )
    assert "exclusive create" in text and "3/10 steps" in text
    assert "MiB" not in text and "bytes" not in text


def test_a_closed_bar_stays_away() -> None:
    bar = Bar("upload", is_wanted=True, quiet_s=0)
    bar.close()
    assert _drawn(bar, [STATE]) == ""


def test_the_terminals_library_waits_for_its_use() -> None:
    import subprocess

    code = (
        "import sys; from sheaf.cli import app; from sheaf.cli.output import progress_bar, render; "
        "sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
