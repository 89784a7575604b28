"""Save local folders as bundles, and delete the files that are proved to be in the store.

A file is deleted only if its bytes, read at that moment, are those that were just read back from a committed bundle. All
other rules are convenience: limits, lists, labels, the lock. The names that the command line needs are imported when they
are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheaf.lazy import lazy_names

if TYPE_CHECKING:
    from sheaf.datamover.backup_run import BackupRequest, BackupRun, FailedFolder, folders_in, listed_folders
    from sheaf.datamover.deletion_limits import DeletionBudget
    from sheaf.datamover.file_lists import FileLists
    from sheaf.datamover.folder_move import FolderMove, MovedFolder, MoveRequest, Watcher
    from sheaf.datamover.run_logs import RunLogs
    from sheaf.datamover.time_formats import date_stamp, now, parse_time_before, time_stamp

_WHERE = {
    "BackupRequest": "sheaf.datamover.backup_run",
    "BackupRun": "sheaf.datamover.backup_run",
    "DeletionBudget": "sheaf.datamover.deletion_limits",
    "FailedFolder": "sheaf.datamover.backup_run",
    "FileLists": "sheaf.datamover.file_lists",
    "FolderMove": "sheaf.datamover.folder_move",
    "MoveRequest": "sheaf.datamover.folder_move",
    "MovedFolder": "sheaf.datamover.folder_move",
    "RunLogs": "sheaf.datamover.run_logs",
    "Watcher": "sheaf.datamover.folder_move",
    "date_stamp": "sheaf.datamover.time_formats",
    "folders_in": "sheaf.datamover.backup_run",
    "listed_folders": "sheaf.datamover.backup_run",
    "now": "sheaf.datamover.time_formats",
    "parse_time_before": "sheaf.datamover.time_formats",
    "time_stamp": "sheaf.datamover.time_formats",
}

__all__ = [
    "BackupRequest",
    "BackupRun",
    "DeletionBudget",
    "FailedFolder",
    "FileLists",
    "FolderMove",
    "MoveRequest",
    "MovedFolder",
    "RunLogs",
    "Watcher",
    "date_stamp",
    "folders_in",
    "listed_folders",
    "now",
    "parse_time_before",
    "time_stamp",
]

if not TYPE_CHECKING:  # else type checkers would believe in any name
    __getattr__ = lazy_names(__name__, _WHERE)
