"""Show progress on stderr after one second: files, bytes, rate, time left, new bytes."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from sheaf.cli.output.text import human_size

if TYPE_CHECKING:
    from sheaf.api import ProgressState

__all__ = ["Bar"]

_QUIET_S: Final = 1.0


class Bar:
    """A progress bar that the API calls with its state. The terminal library is loaded only after the first second.

    The bar shows bytes, or the number of things if those have no bytes.
    """

    def __init__(self, title: str, *, is_wanted: bool, unit: str = "files", quiet_s: float = _QUIET_S) -> None:
        self._title = title
        self._unit = unit
        self._has_bytes = unit == "files"
        self._is_wanted = is_wanted
        self._quiet_s = quiet_s
        self._since = time.monotonic()
        self._display: Any = None
        self._task: Any = None

    def __call__(self, state: ProgressState) -> None:
        if not self._is_wanted:
            return
        if self._display is None:
            if time.monotonic() - self._since < self._quiet_s:
                return
            self._start()
        self._display.update(
            self._task,
            description=state.phase or self._title,
            completed=state.bytes if self._has_bytes else state.files,
            total=state.bytes_total if self._has_bytes else state.files_total,
            files=_count(state, self._unit),
            new=f"{human_size(state.new_bytes)} new" if state.new_bytes else "",
        )

    def _start(self) -> None:
        from rich import progress
        from rich.console import Console
        from rich.text import Text

        class Speed(progress.ProgressColumn):
            """The rate, in the same units as the sizes."""

            def render(self, task: progress.Task) -> Text:
                speed = task.finished_speed or task.speed
                return Text("" if speed is None else f"{human_size(speed)}/s")

        self._display = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[files]}"),
            *((progress.DownloadColumn(binary_units=True), Speed()) if self._has_bytes else ()),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[new]}"),
            console=Console(stderr=True),
            transient=True,
            refresh_per_second=4,
        )
        self._display.start()
        self._task = self._display.add_task(self._title, total=None, files="", new="")

    def close(self) -> None:
        """Remove the bar from the screen, before other output is printed."""
        self._is_wanted = False
        if self._display is not None:
            self._display.stop()
            self._display = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _count(state: ProgressState, unit: str) -> str:
    total = "" if state.files_total is None else f"/{state.files_total}"
    return f"{state.files}{total} {unit}"
