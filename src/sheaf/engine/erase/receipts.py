"""Receipts of erasures. A receipt that names a path which is erased later is replaced by one without it."""

from __future__ import annotations

from msgspec.structs import replace

from sheaf.engine.core import Core
from sheaf.engine.erase.redact_names import is_placeholder
from sheaf.engine.objects import get_object
from sheaf.format import keys
from sheaf.format.session_v1 import ErasedFile, Receipt, seal, unseal
from sheaf.model.paths import split

__all__ = ["receipts", "rewrite_receipts", "without_receipt"]


def receipts(core: Core) -> list[Receipt]:
    """Return the receipts of all erasures, oldest first by the clocks of their writers."""
    return list(_listed(core).values())


def without_receipt(core: Core, contents: frozenset[bytes]) -> bool:
    """True if one of these has a notice but no receipt: its erasure was interrupted, or the receipt is lost."""
    noted = [content for content in contents if core.backend.stat(keys.erased(content)) is not None]
    if not noted:
        return False
    cause = {content for receipt in receipts(core) for content in receipt.contents}
    return any(content.hex() not in cause for content in noted)


def rewrite_receipts(core: Core, contents: frozenset[bytes]) -> frozenset[str]:
    """Write receipts without the paths of these contents, and return the keys of the receipts that they replace."""
    names = frozenset(content.hex() for content in contents)
    listed = _listed(core)
    cause = {receipt.replaces for receipt in listed.values()}
    found = {key: receipt for key, receipt in listed.items() if any(_names(file, names) for file in receipt.places)}
    for receipt in found.values():
        # An interrupted run may have written the new receipt already.
        if receipt.id not in cause:
            places = tuple(replace(file, path="") if _names(file, names) else file for file in receipt.places)
            again = replace(receipt, id=core.clock.new_id(), places=places, replaces=receipt.id)
            core.create(keys.receipt(again.id), seal("receipt", again))
    return frozenset(found)


def _names(file: ErasedFile, contents: frozenset[str]) -> bool:
    if file.content not in contents:
        return False
    return bool(file.path) and not is_placeholder(split(file.path)[1], bytes.fromhex(file.content))


def _listed(core: Core) -> dict[str, Receipt]:
    found = [stat.key for stat in core.backend.list(keys.RECEIPTS, sort=True)]
    return {key: unseal(get_object(core.backend, key), "receipt", Receipt, key) for key in found}
