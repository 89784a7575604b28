"""Copy folders of this machine into bundles and out of them.

The calls that the API makes are names of this package, imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheaf.lazy import lazy_names

if TYPE_CHECKING:
    from sheaf.transfer.batches import Batches
    from sheaf.transfer.bundles.commit_folder import UploadRules, commit_folder
    from sheaf.transfer.bundles.local_folders import bring, compare, hashes_of, note, origin_of, repo_entry_of
    from sheaf.transfer.bundles.merge_branches import MergeOptions, MergeResult, merge_branch, revert_bundle
    from sheaf.transfer.bundles.poll import Polling, wait_for, wait_for_bundle
    from sheaf.transfer.bundles.push import Pushed, plan_push, push
    from sheaf.transfer.bundles.upload_plan import plan_upload
    from sheaf.transfer.bundles.verify_bundle import verify
    from sheaf.transfer.download.single_file import write_file
    from sheaf.transfer.download.update import LocalChanges
    from sheaf.transfer.erase_rows import count_rows
    from sheaf.transfer.local.hashes import is_copy_of
    from sheaf.transfer.progress import Meter, ProgressState, count_to
    from sheaf.transfer.store_guard import ensure_outside_store
    from sheaf.transfer.upload import folder_options

_WHERE = {
    "Batches": "sheaf.transfer.batches",
    "LocalChanges": "sheaf.transfer.download.update",
    "MergeOptions": "sheaf.transfer.bundles.merge_branches",
    "MergeResult": "sheaf.transfer.bundles.merge_branches",
    "Meter": "sheaf.transfer.progress",
    "Polling": "sheaf.transfer.bundles.poll",
    "ProgressState": "sheaf.transfer.progress",
    "Pushed": "sheaf.transfer.bundles.push",
    "UploadRules": "sheaf.transfer.bundles.commit_folder",
    "bring": "sheaf.transfer.bundles.local_folders",
    "commit_folder": "sheaf.transfer.bundles.commit_folder",
    "compare": "sheaf.transfer.bundles.local_folders",
    "count_rows": "sheaf.transfer.erase_rows",
    "count_to": "sheaf.transfer.progress",
    "ensure_outside_store": "sheaf.transfer.store_guard",
    "folder_options": "sheaf.transfer.upload",
    "hashes_of": "sheaf.transfer.bundles.local_folders",
    "is_copy_of": "sheaf.transfer.local.hashes",
    "merge_branch": "sheaf.transfer.bundles.merge_branches",
    "note": "sheaf.transfer.bundles.local_folders",
    "origin_of": "sheaf.transfer.bundles.local_folders",
    "plan_push": "sheaf.transfer.bundles.push",
    "plan_upload": "sheaf.transfer.bundles.upload_plan",
    "push": "sheaf.transfer.bundles.push",
    "repo_entry_of": "sheaf.transfer.bundles.local_folders",
    "revert_bundle": "sheaf.transfer.bundles.merge_branches",
    "verify": "sheaf.transfer.bundles.verify_bundle",
    "wait_for": "sheaf.transfer.bundles.poll",
    "wait_for_bundle": "sheaf.transfer.bundles.poll",
    "write_file": "sheaf.transfer.download.single_file",
}

__all__ = [
    "Batches",
    "LocalChanges",
    "MergeOptions",
    "MergeResult",
    "Meter",
    "Polling",
    "ProgressState",
    "Pushed",
    "UploadRules",
    "bring",
    "commit_folder",
    "compare",
    "count_rows",
    "count_to",
    "ensure_outside_store",
    "folder_options",
    "hashes_of",
    "is_copy_of",
    "merge_branch",
    "note",
    "origin_of",
    "plan_push",
    "plan_upload",
    "push",
    "repo_entry_of",
    "revert_bundle",
    "verify",
    "wait_for",
    "wait_for_bundle",
    "write_file",
]

if not TYPE_CHECKING:  # else type checkers would believe in any name
    __getattr__ = lazy_names(__name__, _WHERE)
