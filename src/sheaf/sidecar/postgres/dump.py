"""Dumps: all roles and databases of a server, as text that any newer version can restore.

::

    PG_VERSION               the major version that wrote it
    roles.sql                pg_dumpall --roles-only
    databases/<name>/        pg_dump --format=directory, uncompressed; the name is percent-encoded
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from sheaf.sidecar.postgres.data_directory import DATABASES, ROLES, VERSION, create_empty, own, own_all, remove
from sheaf.sidecar.postgres.server import Server
from sheaf.sidecar.postgres.steps import Steps

__all__ = ["check_superuser", "restore_dump", "write_dump"]

_TEMPLATE: Final = "template1"  # there before any other database is restored
_SQL: Final = ("-X", "-q", "-v", "ON_ERROR_STOP=1")
#: A database that allows no connections can't be dumped. Nothing else would show that it is missing in the bundle.
_OPEN: Final = "UPDATE pg_catalog.pg_database SET datallowconn = true WHERE NOT datallowconn AND datname <> 'template0'"
#: A limit of -2 marks what an interrupted DROP DATABASE has left.
_LIST: Final = (
    "SELECT datname FROM pg_catalog.pg_database WHERE datname <> 'template0' AND datconnlimit <> -2 ORDER BY datname"
)
#: A dump does not contain tablespaces, so that nothing may be created in them.
_ANYWHERE: Final = "--no-tablespaces"


def check_superuser(server: Server) -> Steps:
    """Raise Unavailable if the private server's superuser can't connect: it is who dumps in the end."""
    yield from server.run_client("psql", [*_SQL, "-d", _TEMPLATE, "-c", "SELECT 1"])


def write_dump(server: Server, target: Path) -> Steps:
    """Dump the private server to a new folder."""
    create_empty(target, server.account)
    create_empty(target / DATABASES, server.account)
    yield from server.run_client("pg_dumpall", ["--roles-only", "-l", _TEMPLATE, f"--file={target / ROLES}"])
    names = server.scratch / "names"
    yield from server.run_client("psql", [*_SQL, "-d", _TEMPLATE, "-c", _OPEN])
    yield from server.run_client("psql", [*_SQL, "-A", "-t", "-0", "-d", _TEMPLATE, "-o", str(names), "-c", _LIST])
    for raw in names.read_bytes().split(b"\0"):
        if name := raw.decode("utf-8").strip("\n"):
            folder = target / DATABASES / _encode(name)
            # Uncompressed, so that a changed row changes the stored data around it and not the rest of the table.
            options = ["--format=directory", "--compress=0", _ANYWHERE, f"--file={folder}"]
            yield from server.run_client("pg_dump", [*options, "-d", f"dbname={_quoted(name)}"])
    (target / VERSION).write_text(f"{server.programs.major}\n", encoding="ascii")


def restore_dump(server: Server, source: Path) -> Steps:
    """Restore a dump into the blank private server, and remove it."""
    roles = server.scratch / ROLES
    roles.write_text(_without_role((source / ROLES).read_text(encoding="utf-8"), server.owner), encoding="utf-8")
    own(roles, server.account)
    own_all(source, server.account)
    yield from server.run_client("psql", [*_SQL, "-d", _TEMPLATE, "-f", str(roles)])
    for folder in sorted((source / DATABASES).iterdir(), key=lambda path: unquote(path.name) != _TEMPLATE):
        whole = [] if unquote(folder.name) == _TEMPLATE else ["--create", "--clean", "--if-exists"]
        yield from server.run_client("pg_restore", ["--exit-on-error", _ANYWHERE, *whole, "-d", _TEMPLATE, str(folder)])
    yield from server.run_client("vacuumdb", ["--all", "--analyze-only", "--quiet", "--maintenance-db", _TEMPLATE])
    remove(source)


def _without_role(sql: str, role: str) -> str:
    """The statements without the one that creates a role that the blank server has already."""
    identifier = '"' + role.replace('"', '""') + '"'
    created = {f"CREATE ROLE {role};", f"CREATE ROLE {identifier};"}
    return "".join(line for line in sql.splitlines(keepends=True) if line.rstrip("\n") not in created)


def _encode(name: str) -> str:
    return quote(name, safe="").replace(".", "%2E")


def _quoted(name: str) -> str:
    """The name as a value of a connection string."""
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"
