"""One PostgreSQL server: created, started, stopped cleanly."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from sheaf.errors import Unavailable
from sheaf.sidecar.children import Account, Child, Children
from sheaf.sidecar.command_queue import Command
from sheaf.sidecar.postgres.data_directory import own, remove, write_owned
from sheaf.sidecar.postgres.programs import Programs
from sheaf.sidecar.postgres.steps import Steps, run_steps

__all__ = ["Server"]

_PROBE_PAUSE_S: Final = 0.2
_PATIENCE_S: Final = 30.0
_CONNECT_S: Final = 1.0
_STATE: Final = "Database cluster state:"
_CLEAN: Final = "shut down"
_HAS_WAL_RECYCLE: Final = 12
_PRIVATE_PORT: Final = 5432  # part of the name of its socket
_HBA: Final = b"local all all trust\n"
#: What a server that only the sidecar uses must not do, by the first version that has the setting: send the log to an
#: archive, change rows as a subscriber, or quote statements, which may contain passwords, in the sidecar's log.
_PRIVATE: Final = {
    "archive_mode=off": 0,
    "max_logical_replication_workers=0": 10,
    "log_statement=none": 0,
    "log_duration=off": 0,
    "log_min_duration_statement=-1": 0,
    "log_min_error_statement=panic": 0,
    "log_transaction_sample_rate=0": 12,
    "log_statement_sample_rate=0": 13,
}
#: Roles and databases may have other values, with which nothing could be restored or would take too long.
_SESSION: Final = " ".join(
    f"-c {name}" for name in ("default_transaction_read_only=off", "statement_timeout=0", "lock_timeout=0")
)
_LOOPBACK: Final = ("127.0.0.1", "::1")


class Server:
    """``data``: its data directory. ``owner``: its superuser. Its steps raise Unavailable."""

    def __init__(
        self,
        name: str,
        data: Path,
        owner: str,
        programs: Programs,
        account: Account,
        children: Children,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"postgres {name}"
        self.data = data
        self.owner = owner
        self.programs = programs
        self.account = account
        self._children = children
        self._now = now
        self._process: Child | None = None
        #: For its socket and small files. A short path: that of a socket has 107 bytes at most.
        self.scratch = Path(tempfile.mkdtemp(prefix="sheaf-pg-"))
        own(self.scratch, account)

    def initdb(self) -> Steps:
        """Create a blank cluster in the empty data directory."""
        options = ["--encoding=UTF8", "--no-locale", "--auth=trust", "--no-sync", f"--username={self.owner}"]
        yield from self.run("initdb", [f"--pgdata={self.data}", *options])

    def start(self, port: int) -> Steps:
        """Start it for the application, and wait until it answers."""
        self._ensure_free(port)
        yield from self._start(port)

    def _ensure_free(self, port: int) -> None:
        """Raise Unavailable if the application could reach another server: this one starts if any address is free."""
        for address in _LOOPBACK:
            with suppress(OSError), socket.create_connection((address, port), timeout=_CONNECT_S):
                raise Unavailable(f"{self.name}: port {port} of {address} is in use", "choose another with --port")

    def start_private(self) -> Steps:
        """Start it so that only :meth:`run` reaches it, whatever its own rules of access are."""
        rules = self.scratch / "pg_hba.conf"
        write_owned(rules, _HBA, self.account)
        closed = [f"hba_file={rules}", "listen_addresses=", "unix_socket_permissions=0700"]
        closed += [setting for setting, since in _PRIVATE.items() if self.programs.major >= since]
        yield from self._start(_PRIVATE_PORT, *(word for each in closed for word in ("-c", each)))

    def _start(self, port: int, *options: str) -> Steps:
        common = ["-D", str(self.data), "-k", str(self.scratch), "-c", "logging_collector=off"]
        if self.programs.major >= _HAS_WAL_RECYCLE:
            # Recycled segments of the log would be in the bundle: old contents under the names of future ones.
            common += ["-c", "wal_recycle=off"]
        command = [self.programs["postgres"], *common, "-p", str(port), *options]
        self._process = self._children.start(
            self.name,
            command,
            account=self.account,
            end_signal=signal.SIGINT,  # SIGTERM would wait for the clients
        )
        asked = self._now()
        while True:
            probe = self._children.start(
                f"probe of {self.name}",
                [self.programs["pg_isready"], "-q", "-h", str(self.scratch), "-p", str(port), "-d", "postgres"],
                account=self.account,
            )
            while probe.code is None or (probe.code and self._now() - asked < _PROBE_PAUSE_S):
                self.ensure_alive()
                yield self.name
            if probe.code == 0:
                return
            asked = self._now()

    def ensure_alive(self) -> None:
        """Raise Unavailable if its process has ended."""
        if self._process is None or self._process.code is None:
            return
        self._children.drain(self._process)
        reason = self._process.ending
        if self._process.code > 0:  # else the lines are those of clients that it has refused
            fatal = [line.partition("FATAL:")[2].strip() for line in self._process.complaints if "FATAL:" in line]
            reason = fatal[-1] if fatal else self._process.reason
        raise Unavailable(f"{self.name}: the server has ended: {reason}", "see the log of the sidecar")

    def interrupt(self) -> None:
        """Ask for a fast shutdown: clients are disconnected."""
        if self._process is not None:
            self._process.signal(signal.SIGINT)

    def stop(self) -> Steps:
        """Shut it down, and wait for the end."""
        self.interrupt()
        while self._process is not None and self._process.code is None:
            yield f"the end of {self.name}"
        if self._process is not None:
            self._children.drain(self._process)
        self._process = None

    def is_clean(self) -> bool:
        """Whether the data directory says that the server was shut down, so that all changes are in its files."""
        command = [self.programs["pg_controldata"], str(self.data)]
        done = subprocess.run(
            command, capture_output=True, text=True, env={"LC_ALL": "C"}, check=False, timeout=_PATIENCE_S
        )
        states = [line.removeprefix(_STATE).strip() for line in done.stdout.splitlines() if line.startswith(_STATE)]
        return states == [_CLEAN]

    def ensure_clean(self) -> None:
        """Raise Unavailable if it was not shut down."""
        if not self.is_clean():
            raise Unavailable(f"{self.name}: it was not shut down cleanly", "see the log of the sidecar")

    def run(self, program: str, words: Sequence[str]) -> Steps:
        """Run one of its programs under its account."""
        command = [self.programs[program], *words]
        named = Command(f"{program} of {self.name}", command, is_quiet=True, account=self.account)
        yield from run_steps(named, self._children)

    def run_client(self, program: str, words: Sequence[str]) -> Steps:
        """Run a program that connects to the private server as its superuser.

        It shows no more than the reason of its failure: its other lines may quote statements with passwords.
        """
        account = replace(self.account, environment={**self.account.environment, "PGOPTIONS": _SESSION})
        command = [self.programs[program], "-h", str(self.scratch), "-p", str(_PRIVATE_PORT), "-U", self.owner, *words]
        named = Command(f"{program} of {self.name}", command, is_quiet=True, is_secret=True, account=account)
        yield from run_steps(named, self._children)

    def close(self) -> None:
        """Remove what it needed while it ran."""
        remove(self.scratch)
