"""Report the sessions that a command waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheaf.cli.app import App
from sheaf.cli.output.text import quote

if TYPE_CHECKING:
    from sheaf.api import Session

__all__ = ["WaitNotices", "named"]


class WaitNotices:
    """Reports each session that a command waits for once. ``advice``: how long at most, and the alternatives."""

    def __init__(self, app: App, advice: str, *, is_silent: bool = False) -> None:
        self._app, self._advice, self._is_silent = app, advice, is_silent
        self._reported: dict[str, Session] = {}

    @property
    def sessions(self) -> list[Session]:
        """All sessions that were waited for or are still open."""
        return list(self._reported.values())

    def __call__(self, sessions: list[Session]) -> None:
        for session in sessions:
            if session.id not in self._reported:
                self._reported[session.id] = session
                if not self._is_silent:
                    self._app.note(f"waiting for {named(session)}; {self._advice}")
                self._report_end(session)

    def _report_end(self, session: Session) -> None:
        """Print how to end a diamond, which stays open until a user ends it, with the name of its repo."""
        if session.kind == "diamond":
            names = [repo.name for repo in self._app.store.repos() if repo.id == session.repo]
            for name in names:
                command = f"sheaf diamond cancel --repo {quote(name)} --diamond {session.id}"
                self._app.note(f"hint: run `{command}` to cancel that diamond if it is no longer used")


def named(session: Session) -> str:
    """Return a session as text."""
    return f"{session.kind} {session.id} on {session.host}, started {session.started}"
