"""Serve a program in a pod: its data is there before it starts, and its results are uploaded after it has ended.

Mounts, PostgreSQL servers and uploads run as child processes; this package starts, watches and ends them. The names that
the command line needs are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheaf.lazy import lazy_names

if TYPE_CHECKING:
    from sheaf.sidecar.children import Children, Signals
    from sheaf.sidecar.fuse_parameters import Given, read_fuse_parameters
    from sheaf.sidecar.fuse_sidecar import FuseSidecar
    from sheaf.sidecar.postgres.database_parameters import read_postgres_parameters
    from sheaf.sidecar.postgres.database_service import PostgresInstallation
    from sheaf.sidecar.postgres.postgres_sidecar import PostgresSidecar
    from sheaf.sidecar.protocol import Terminated
    from sheaf.sidecar.supervision import Supervision

_WHERE = {
    "Children": "sheaf.sidecar.children",
    "FuseSidecar": "sheaf.sidecar.fuse_sidecar",
    "Given": "sheaf.sidecar.fuse_parameters",
    "PostgresInstallation": "sheaf.sidecar.postgres.database_service",
    "PostgresSidecar": "sheaf.sidecar.postgres.postgres_sidecar",
    "Signals": "sheaf.sidecar.children",
    "Supervision": "sheaf.sidecar.supervision",
    "Terminated": "sheaf.sidecar.protocol",
    "read_fuse_parameters": "sheaf.sidecar.fuse_parameters",
    "read_postgres_parameters": "sheaf.sidecar.postgres.database_parameters",
}

__all__ = [
    "Children",
    "FuseSidecar",
    "Given",
    "PostgresInstallation",
    "PostgresSidecar",
    "Signals",
    "Supervision",
    "Terminated",
    "read_fuse_parameters",
    "read_postgres_parameters",
]

if not TYPE_CHECKING:  # else type checkers would believe in any name
    __getattr__ = lazy_names(__name__, _WHERE)
