"""One database from its bundle to the next: downloaded or blank, served, stopped, uploaded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sheaf.errors import Bug, Refused, Unavailable
from sheaf.sidecar.children import Account, Children
from sheaf.sidecar.command_queue import Command
from sheaf.sidecar.postgres.archive import UNPACK
from sheaf.sidecar.postgres.data_directory import (
    ARCHIVE,
    create_empty,
    ensure_without_links,
    ensure_without_tablespaces,
    form_of,
    has_unlogged_tables,
    prepare,
    remove,
    version_of,
    within_archive,
)
from sheaf.sidecar.postgres.database_parameters import Database
from sheaf.sidecar.postgres.dump import check_superuser, create_superuser, restore_dump, write_dump
from sheaf.sidecar.postgres.programs import Programs, find_programs, server_account
from sheaf.sidecar.postgres.server import Server
from sheaf.sidecar.postgres.steps import Steps, run_steps
from sheaf.sidecar.uploads import upload_of

__all__ = ["DatabaseService", "PostgresInstallation"]

#: The superuser that programs expect, even if a blank database has another owner.
_SUPERUSER: Final = "postgres"


@dataclass(frozen=True, slots=True)
class PostgresInstallation:
    """What all databases of a sidecar share. ``program``: the command that downloads and uploads."""

    program: Sequence[str]
    variables: Mapping[str, str]
    bin_dir: Path | None = None
    ignores_version: bool = False

    def account(self) -> Account:
        """The account of the servers."""
        return server_account(self.variables)

    def programs(self, major: int | None = None) -> Programs:
        """PostgreSQL's programs, of this version if there are several."""
        return find_programs(self.bin_dir, self.variables, major)


class DatabaseService:
    """``report``: is given a line for the log. Its steps raise SheafError."""

    def __init__(
        self, database: Database, installation: PostgresInstallation, children: Children, report: Callable[[str], None]
    ) -> None:
        self._database = database
        self._installation = installation
        self._children = children
        self._report = report
        self._server: Server | None = None
        #: Ids of the bundles that were committed.
        self.bundles: list[str] = []

    def start(self) -> Steps:
        """Serve the database to the application."""
        database, account = self._database, self._installation.account()
        if database.upload is None:
            self._report(f"sidecar: database {database.name}: it will not be saved, since no repo is given")
        create_empty(database.data, account)
        form = ""
        if database.source:
            create_empty(database.downloaded, account)
            words = ("bundle", "download", *database.source, "--destination", str(database.downloaded))
            command = Command(f"download of {database.name}", (*self._installation.program, *words))
            yield from run_steps(command, self._children)
            ensure_without_links(database.downloaded)  # before anything in it is read, written or given away
            form = form_of(database.downloaded)
        major = version_of(database.downloaded) if form else None
        programs = self._installation.programs(major)
        if major is not None and not self._is_usable(form, major, programs):
            form = ""
            remove(database.downloaded)
        server = Server(database.name, database.data, database.owner, programs, account, self._children)
        self._server = server
        yield from self._fill(server, form)
        yield from server.start(database.port)

    def _is_usable(self, form: str, major: int, programs: Programs) -> bool:
        """Whether the server can serve it. Raises Refused if not, unless a blank database is to take its place."""
        if major == programs.major or (form == "dump" and major < programs.major):
            return True
        message = (
            f"database {self._database.name}: it is of PostgreSQL {major}, and the server here is {programs.major}"
        )
        if not self._installation.ignores_version:
            raise Refused(message, "use an image with that version, or pass --ignore-version for a blank database")
        self._report(f"sidecar: {message}; it starts blank")
        return False

    def _fill(self, server: Server, form: str) -> Steps:
        """Give the server its data directory."""
        database = self._database
        if form == "raw":
            prepare(database.downloaded, database.data, server.account)
        elif form == "archive":
            yield from self._unpack(server)
        else:
            yield from server.initdb()
        needs_superuser = not form and database.owner != _SUPERUSER
        if form == "dump" or database.saves_dump or needs_superuser:
            yield from server.start_private()
            yield from check_superuser(server)
            if form == "dump":
                yield from restore_dump(server, database.downloaded)
            if needs_superuser:
                yield from create_superuser(server, _SUPERUSER)
            yield from server.stop()

    def _unpack(self, server: Server) -> Steps:
        """Give the server the data directory of a tar file."""
        source = self._database.downloaded
        unpacked = source / "unpacked"
        words = [sys.executable, "-P", "-c", UNPACK, str(source / ARCHIVE), str(unpacked)]
        yield from run_steps(Command(f"tar file of {self._database.name}", words), self._children)
        prepare(within_archive(unpacked), self._database.data, server.account)
        remove(source)

    def watch(self) -> None:
        """Raise Unavailable if the server has ended, and Refused if the database could not be saved any more."""
        if self._server is None:
            return
        self._server.ensure_alive()
        if self._database.upload is not None and not self._database.saves_dump:
            ensure_without_tablespaces(self._database.data)

    def save(self, *, is_unfinished: bool) -> Steps:
        """Stop the server, and upload the database if that is wanted."""
        upload = self._database.upload
        server = self._server
        if server is None:
            raise Bug("the server was not started")
        yield from server.stop()
        was_killed = yield from self._recover(server)
        if upload is None:
            return
        if self._database.saves_dump:
            yield from server.start_private()
            yield from write_dump(server, self._database.dump)
            yield from server.stop()
        else:
            ensure_without_links(self._database.data)
            was_killed = (yield from self._vacuum(server)) or was_killed
        if is_unfinished or was_killed:
            # A recovery has emptied unlogged tables, so that no reader may take it for the result.
            upload = upload.unfinished()
        command = upload_of(upload, self._installation.program, self.bundles, self._report)
        yield from run_steps(command, self._children)
        if was_killed and not is_unfinished:
            message = f"{server.name}: it was not shut down cleanly, so the label was not set"
            raise Unavailable(message, "see branch unfinished, or run it again")

    @staticmethod
    def _recover(server: Server) -> Generator[str, None, bool]:
        """Let a stopped server that was killed recover what was committed. Returns whether it was killed."""
        if server.is_clean():
            return False
        yield from server.start_private()
        yield from server.stop()
        server.ensure_clean()
        return True

    def _vacuum(self, server: Server) -> Generator[str, None, bool]:
        """Write now what a later vacuum would: each page would then change once more, and be stored once more.

        Returns whether that has emptied tables: all was in the files before, and is in the log if the server was killed,
        such as by a full disk, but for unlogged tables.
        """
        try:
            yield from server.start_private()
            yield from server.run_client("vacuumdb", ["--all", "--freeze", "--quiet", "--maintenance-db", "template1"])
        except Unavailable as error:  # such as another superuser's database: it is saved as it is
            self._report(f"sidecar: {error.message}; a later snapshot may cost more")
        yield from server.stop()
        was_killed = yield from self._recover(server)
        return was_killed and has_unlogged_tables(self._database.data)

    def interrupt(self) -> None:
        """Ask the server to end."""
        if self._server is not None:
            self._server.interrupt()

    def close(self) -> None:
        """Remove what the server needed while it ran."""
        if self._server is not None:
            self._server.close()
