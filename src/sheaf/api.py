"""Names of the Python API besides those of ``import sheaf``: the values that calls require and return, and their texts.

Names are imported when they are first used, as those of ``sheaf`` are.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sheaf.engine.check.report import CheckReport, Problem
    from sheaf.engine.clock import parse_time
    from sheaf.engine.commit.diamonds import Mode
    from sheaf.engine.core import LostConfig
    from sheaf.engine.erase.locate import Similar
    from sheaf.engine.gc.collect import Collected
    from sheaf.engine.gc.retention import Gone
    from sheaf.engine.gc.store_sizes import Sizes
    from sheaf.engine.log.delete_bundles import Surplus
    from sheaf.engine.object_cache import Use
    from sheaf.engine.repair.quarantine import Unreadable
    from sheaf.engine.replicas.catchup import Caught
    from sheaf.engine.replicas.replica_set import Promoted, ReplicaInfo
    from sheaf.format.session_v1 import ErasedFile, Notice, Receipt, RunEnd, RunStart, Session
    from sheaf.model.path_conflicts import MergeConflict, PathConflict
    from sheaf.model.refs import Address, Ref, parse_address, parse_ref
    from sheaf.pins.lock_format import Pin
    from sheaf.pins.pinned_folders import FolderStatus, Pulled, folder_status
    from sheaf.repo.diamond import DiamondInfo, SplitInfo
    from sheaf.repo.path_history import PathChange
    from sheaf.repo.search import FoundFile
    from sheaf.repo.store_erasure import Erasure
    from sheaf.repo.store_keys import KeyInfo, Keys
    from sheaf.repo.store_replicas import Replicas
    from sheaf.repo.store_runs import Runs
    from sheaf.repo.values import RepoInfo, StoreInfo, UploadPlan
    from sheaf.transfer.batches import Batches, Position, Sample
    from sheaf.transfer.bundles.merge_branches import MergeResult
    from sheaf.transfer.bundles.push import Pushed
    from sheaf.transfer.bundles.verify_bundle import Verified
    from sheaf.transfer.download.damaged import Damaged
    from sheaf.transfer.download.download import Downloaded
    from sheaf.transfer.download.update import Updated
    from sheaf.transfer.erase_rows import RowsHit
    from sheaf.transfer.local.scan import Skipped
    from sheaf.transfer.progress import Progress, ProgressState

_WHERE = {
    "Address": "sheaf.model.refs",
    "Batches": "sheaf.transfer.batches",
    "Caught": "sheaf.engine.replicas.catchup",
    "CheckReport": "sheaf.engine.check.report",
    "Collected": "sheaf.engine.gc.collect",
    "Damaged": "sheaf.transfer.download.damaged",
    "DiamondInfo": "sheaf.repo.diamond",
    "Downloaded": "sheaf.transfer.download.download",
    "ErasedFile": "sheaf.format.session_v1",
    "Erasure": "sheaf.repo.store_erasure",
    "FolderStatus": "sheaf.pins.pinned_folders",
    "FoundFile": "sheaf.repo.search",
    "Gone": "sheaf.engine.gc.retention",
    "KeyInfo": "sheaf.repo.store_keys",
    "Keys": "sheaf.repo.store_keys",
    "LostConfig": "sheaf.engine.core",
    "MergeConflict": "sheaf.model.path_conflicts",
    "MergeResult": "sheaf.transfer.bundles.merge_branches",
    "Mode": "sheaf.engine.commit.diamonds",
    "Notice": "sheaf.format.session_v1",
    "PathChange": "sheaf.repo.path_history",
    "PathConflict": "sheaf.model.path_conflicts",
    "Pin": "sheaf.pins.lock_format",
    "Position": "sheaf.transfer.batches",
    "Problem": "sheaf.engine.check.report",
    "Progress": "sheaf.transfer.progress",
    "ProgressState": "sheaf.transfer.progress",
    "Promoted": "sheaf.engine.replicas.replica_set",
    "Pulled": "sheaf.pins.pinned_folders",
    "Pushed": "sheaf.transfer.bundles.push",
    "Receipt": "sheaf.format.session_v1",
    "Ref": "sheaf.model.refs",
    "ReplicaInfo": "sheaf.engine.replicas.replica_set",
    "Replicas": "sheaf.repo.store_replicas",
    "RepoInfo": "sheaf.repo.values",
    "RowsHit": "sheaf.transfer.erase_rows",
    "RunEnd": "sheaf.format.session_v1",
    "RunStart": "sheaf.format.session_v1",
    "Runs": "sheaf.repo.store_runs",
    "Sample": "sheaf.transfer.batches",
    "Session": "sheaf.format.session_v1",
    "Similar": "sheaf.engine.erase.locate",
    "Sizes": "sheaf.engine.gc.store_sizes",
    "Skipped": "sheaf.transfer.local.scan",
    "SplitInfo": "sheaf.repo.diamond",
    "StoreInfo": "sheaf.repo.values",
    "Surplus": "sheaf.engine.log.delete_bundles",
    "Unreadable": "sheaf.engine.repair.quarantine",
    "Updated": "sheaf.transfer.download.update",
    "UploadPlan": "sheaf.repo.values",
    "Use": "sheaf.engine.object_cache",
    "Verified": "sheaf.transfer.bundles.verify_bundle",
    "folder_status": "sheaf.pins.pinned_folders",
    "parse_address": "sheaf.model.refs",
    "parse_ref": "sheaf.model.refs",
    "parse_time": "sheaf.engine.clock",
}

__all__ = [
    "Address",
    "Batches",
    "Caught",
    "CheckReport",
    "Collected",
    "Damaged",
    "DiamondInfo",
    "Downloaded",
    "ErasedFile",
    "Erasure",
    "FolderStatus",
    "FoundFile",
    "Gone",
    "KeyInfo",
    "Keys",
    "LostConfig",
    "MergeConflict",
    "MergeResult",
    "Mode",
    "Notice",
    "PathChange",
    "PathConflict",
    "Pin",
    "Position",
    "Problem",
    "Progress",
    "ProgressState",
    "Promoted",
    "Pulled",
    "Pushed",
    "Receipt",
    "Ref",
    "ReplicaInfo",
    "Replicas",
    "RepoInfo",
    "RowsHit",
    "RunEnd",
    "RunStart",
    "Runs",
    "Sample",
    "Session",
    "Similar",
    "Sizes",
    "Skipped",
    "SplitInfo",
    "StoreInfo",
    "Surplus",
    "Unreadable",
    "Updated",
    "UploadPlan",
    "Use",
    "Verified",
    "folder_status",
    "parse_address",
    "parse_ref",
    "parse_time",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'sheaf.api' has no attribute '{name}'")
    return getattr(importlib.import_module(_WHERE[name]), name)
