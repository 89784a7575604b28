"""The kind ``postgres``: servers run while the application does, and their databases are uploaded after it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sheaf.errors import SheafError
from sheaf.sidecar.children import Children
from sheaf.sidecar.command_queue import CommandQueue
from sheaf.sidecar.postgres.database_parameters import Database
from sheaf.sidecar.postgres.database_service import DatabaseService, PostgresInstallation
from sheaf.sidecar.postgres.steps import StepRunner
from sheaf.sidecar.uploads import upload_checks

__all__ = ["PostgresSidecar"]

_PATIENCE_S: Final = 10.0


class PostgresSidecar:
    """``report``: is given lines for the log. The databases are started, and saved, at the same time."""

    def __init__(
        self,
        databases: Sequence[Database],
        installation: PostgresInstallation,
        children: Children,
        report: Callable[[str], None],
    ) -> None:
        self._children = children
        uploads = [each.upload for each in databases if each.upload]
        self._checks = CommandQueue(upload_checks(uploads, installation.program), children)
        self._services = [DatabaseService(each, installation, children, report) for each in databases]
        self._work = [StepRunner(service.start()) for service in self._services]

    @property
    def waits_for(self) -> str:
        """What is being waited for."""
        return self._checks.current or ", ".join(each.waits_for for each in self._work if each.waits_for)

    @property
    def bundles(self) -> list[str]:
        """Ids of the bundles that were committed."""
        return [id_ for service in self._services for id_ in service.bundles]

    def is_ready(self) -> bool:
        """Whether every server answers. Raises SheafError."""
        is_checked = self._checks.look()
        are_started = [each.look() for each in self._work]
        if is_checked and all(are_started):
            self.watch()  # one may have ended while others were being started
            return True
        return False

    def watch(self) -> None:
        """Raise Unavailable if a server has ended."""
        for service in self._services:
            service.watch()

    def save(self, *, is_unfinished: bool) -> None:
        """Begin to stop the servers and to upload."""
        self._work = [StepRunner(service.save(is_unfinished=is_unfinished)) for service in self._services]

    def is_saved(self) -> bool:
        """Whether all databases are saved. The first error is raised after all have ended."""
        failures: list[SheafError] = []
        are_over = []
        for each in self._work:
            try:
                are_over.append(each.look())
            except SheafError as error:
                failures.append(error)
        if failures and all(are_over):
            raise failures[0]
        return all(are_over)

    def stop(self) -> None:
        """End all processes."""
        for service in self._services:
            service.interrupt()
        self._children.stop(_PATIENCE_S)
        for service in self._services:
            service.close()
