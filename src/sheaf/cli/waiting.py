"""Says whom a command waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheaf.cli.app import App

if TYPE_CHECKING:
    from sheaf.format.session_v1 import Session

__all__ = ["Waiting"]


class Waiting:
    """Says once of each session that it is waited for."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._told: set[str] = set()

    def __call__(self, sessions: list[Session]) -> None:
        for session in sessions:
            if session.id not in self._told:
                self._told.add(session.id)
                self._app.note(f"waiting for {session.kind} {session.id} of {session.host}, begun {session.started}")
