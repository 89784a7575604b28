"""Dumps: all roles and databases of a server, as text that any newer version can restore.

::

    PG_VERSION               the major version that wrote it
    roles.sql                pg_dumpall --roles-only
    databases/<name>/        pg_dump --format=directory, uncompressed; the name is percent-encoded
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from sheaf.errors import Refused
from sheaf.sidecar.postgres.data_directory import (
    DATABASES,
    ROLES,
    VERSION,
    create_empty,
    own_all,
    remove,
    write_owned,
)
from sheaf.sidecar.postgres.server import Server
from sheaf.sidecar.postgres.steps import Steps

__all__ = ["check_superuser", "create_superuser", "restore_dump", "write_dump"]

_TEMPLATE: Final = "template1"  # there before any other database is restored
_SQL: Final = ("-X", "-q", "-v", "ON_ERROR_STOP=1")
#: A database that allows no connections can't be dumped. Nothing else would show that it is missing in the bundle.
_OPEN: Final = "UPDATE pg_catalog.pg_database SET datallowconn = true WHERE NOT datallowconn AND datname <> 'template0'"
#: The names, each behind a "u" for a database in UTF-8. A limit of -2 marks what an interrupted DROP DATABASE has left.
_LIST: Final = (
    "SELECT CASE encoding WHEN 6 THEN 'u' ELSE 'o' END || datname FROM pg_catalog.pg_database"
    " WHERE datname NOT IN ('template0', current_database()) AND datconnlimit <> -2 ORDER BY datname"
)
#: A name of a database or role is the bytes that its creator's encoding made. A server converts names only between two
#: encodings: in a database without one, each name arrives as it was dumped.
_WITHOUT_ENCODING: Final = "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
_SET_ENCODING: Final = b"SET client_encoding"
#: A dump does not contain tablespaces, so that nothing may be created in them.
_ANYWHERE: Final = "--no-tablespaces"


def check_superuser(server: Server) -> Steps:
    """Raise Unavailable if the private server's superuser can't connect: it is who dumps in the end."""
    yield from _execute(server, "SELECT 1")


def create_superuser(server: Server, name: str) -> Steps:
    """Create one more superuser in the blank private server."""
    yield from _execute(server, f"CREATE ROLE {name} SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS LOGIN")


def write_dump(server: Server, target: Path) -> Steps:
    """Dump the private server to a new folder."""
    create_empty(target, server.account)
    create_empty(target / DATABASES, server.account)
    bridge = yield from _create_bridge(server)
    yield from server.run_client("pg_dumpall", ["--roles-only", "-l", bridge, f"--file={target / ROLES}"])
    names = server.scratch / "names"
    yield from server.run_client("psql", [*_SQL, "-A", "-t", "-0", "-d", bridge, "-o", str(names), "-c", _LIST])
    yield from _drop_bridge(server, bridge)
    yield from _execute(server, _OPEN)
    for raw in names.read_bytes().split(b"\0"):
        if name := raw.strip(b"\n")[1:]:
            if raw.lstrip(b"\n").startswith(b"u"):
                _ensure_utf8(name)
            folder = target / DATABASES / _encode(name)
            # Uncompressed, so that a changed row changes the stored data around it and not the rest of the table.
            options = ["--format=directory", "--compress=0", _ANYWHERE, f"--file={folder}"]
            yield from server.run_client("pg_dump", [*options, "-d", f"dbname={_quoted(os.fsdecode(name))}"])
    write_owned(target / VERSION, f"{server.programs.major}\n".encode(), server.account)


def restore_dump(server: Server, source: Path) -> Steps:
    """Restore a dump into the blank private server, and remove it."""
    roles = server.scratch / ROLES
    write_owned(roles, _restorable((source / ROLES).read_bytes(), server.owner), server.account)
    own_all(source, server.account)
    bridge = yield from _create_bridge(server)
    yield from server.run_client("psql", [*_SQL, "-d", bridge, "-f", str(roles)])
    for folder in sorted((source / DATABASES).iterdir(), key=lambda path: unquote(path.name) != _TEMPLATE):
        new = ["--create", "--clean", "--if-exists", "-d", bridge]
        into = ["-d", _TEMPLATE] if unquote(folder.name) == _TEMPLATE else new
        yield from server.run_client("pg_restore", ["--exit-on-error", _ANYWHERE, *into, str(folder)])
    yield from _drop_bridge(server, bridge)
    yield from server.run_client("vacuumdb", ["--all", "--analyze-only", "--quiet", "--maintenance-db", _TEMPLATE])
    remove(source)


def _create_bridge(server: Server) -> Generator[str, None, str]:
    """Create a database without an encoding, through which roles and databases keep their names. Returns its name."""
    name = f"bridge-{secrets.token_hex(8)}"
    yield from _execute(server, f'CREATE DATABASE "{name}" {_WITHOUT_ENCODING}')
    return name


def _drop_bridge(server: Server, name: str) -> Steps:
    yield from _execute(server, f'DROP DATABASE "{name}"')


def _execute(server: Server, sql: str) -> Steps:
    yield from server.run_client("psql", [*_SQL, "-d", _TEMPLATE, "-c", sql])


def _restorable(sql: bytes, role: str) -> bytes:
    """The statements without the one that creates a role that the blank server has already, and without an encoding."""
    name = role.encode()
    identifier = b'"' + name.replace(b'"', b'""') + b'"'
    created = (b"CREATE ROLE %s;" % name, b"CREATE ROLE %s;" % identifier)
    lines = sql.split(b"\n")
    return b"\n".join(line for line in lines if line not in created and not line.startswith(_SET_ENCODING))


def _ensure_utf8(name: bytes) -> None:
    """Raise Refused for a name that the server itself would not accept again, so that no dump could be restored."""
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        shown = name.decode("utf-8", "backslashreplace")
        raise Refused(f"database {shown}: its name is not UTF-8, as its contents are", "rename it first") from None


def _encode(name: bytes) -> str:
    return quote(name, safe="").replace(".", "%2E")


def _quoted(name: str) -> str:
    """The name as a value of a connection string."""
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"
