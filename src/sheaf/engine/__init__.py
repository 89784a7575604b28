"""The engine: chunks, packs, manifests, logs, sessions. The invariants of ARCHITECTURE.md live here and nowhere else.

The calls that the API makes into what takes pyarrow (0.1 s to import), or what few commands need, are names of this
package, imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheaf.lazy import lazy_names

if TYPE_CHECKING:
    from sheaf.engine.block_cache import forget_copies
    from sheaf.engine.check.affected_files import name_files
    from sheaf.engine.check.check import PackSelection, check_store
    from sheaf.engine.chunks.chunk_reader import Contents
    from sheaf.engine.commit.writer import Draft
    from sheaf.engine.encryption.encrypted_backend import EncryptedBackend
    from sheaf.engine.encryption.slots import create_encrypted_store, unlock
    from sheaf.engine.erase.erasure import notices
    from sheaf.engine.erase.locate import Finder, find_namesakes, find_similar
    from sheaf.engine.erase.receipts import receipts
    from sheaf.engine.erase.redact_names import Names
    from sheaf.engine.gc.collect import collect
    from sheaf.engine.gc.grace import GracePeriod
    from sheaf.engine.gc.restore import dropped_labels, restore_bundle, restore_repo
    from sheaf.engine.gc.retention import find_deleted_repo, restorable, restorable_repos
    from sheaf.engine.gc.store_sizes import bundle_sizes, store_sizes
    from sheaf.engine.log.delete_bundles import Retain, delete_bundle, squash, surplus
    from sheaf.engine.manifest.bulk_read import Bulk
    from sheaf.engine.repair.quarantine import bring_back
    from sheaf.engine.replicas.promotion import successor
    from sheaf.engine.sessions.erasure_notices import erased_contents

_WHERE = {
    "Bulk": "sheaf.engine.manifest.bulk_read",
    "Contents": "sheaf.engine.chunks.chunk_reader",
    "Draft": "sheaf.engine.commit.writer",
    "EncryptedBackend": "sheaf.engine.encryption.encrypted_backend",
    "Finder": "sheaf.engine.erase.locate",
    "GracePeriod": "sheaf.engine.gc.grace",
    "Names": "sheaf.engine.erase.redact_names",
    "PackSelection": "sheaf.engine.check.check",
    "Retain": "sheaf.engine.log.delete_bundles",
    "bring_back": "sheaf.engine.repair.quarantine",
    "bundle_sizes": "sheaf.engine.gc.store_sizes",
    "check_store": "sheaf.engine.check.check",
    "collect": "sheaf.engine.gc.collect",
    "create_encrypted_store": "sheaf.engine.encryption.slots",
    "delete_bundle": "sheaf.engine.log.delete_bundles",
    "dropped_labels": "sheaf.engine.gc.restore",
    "erased_contents": "sheaf.engine.sessions.erasure_notices",
    "find_deleted_repo": "sheaf.engine.gc.retention",
    "find_namesakes": "sheaf.engine.erase.locate",
    "find_similar": "sheaf.engine.erase.locate",
    "forget_copies": "sheaf.engine.block_cache",
    "name_files": "sheaf.engine.check.affected_files",
    "notices": "sheaf.engine.erase.erasure",
    "receipts": "sheaf.engine.erase.receipts",
    "restorable": "sheaf.engine.gc.retention",
    "restorable_repos": "sheaf.engine.gc.retention",
    "restore_bundle": "sheaf.engine.gc.restore",
    "restore_repo": "sheaf.engine.gc.restore",
    "squash": "sheaf.engine.log.delete_bundles",
    "store_sizes": "sheaf.engine.gc.store_sizes",
    "successor": "sheaf.engine.replicas.promotion",
    "surplus": "sheaf.engine.log.delete_bundles",
    "unlock": "sheaf.engine.encryption.slots",
}

__all__ = [
    "Bulk",
    "Contents",
    "Draft",
    "EncryptedBackend",
    "Finder",
    "GracePeriod",
    "Names",
    "PackSelection",
    "Retain",
    "bring_back",
    "bundle_sizes",
    "check_store",
    "collect",
    "create_encrypted_store",
    "delete_bundle",
    "dropped_labels",
    "erased_contents",
    "find_deleted_repo",
    "find_namesakes",
    "find_similar",
    "forget_copies",
    "name_files",
    "notices",
    "receipts",
    "restorable",
    "restorable_repos",
    "restore_bundle",
    "restore_repo",
    "squash",
    "store_sizes",
    "successor",
    "surplus",
    "unlock",
]

if not TYPE_CHECKING:  # else type checkers would believe in any name
    __getattr__ = lazy_names(__name__, _WHERE)
