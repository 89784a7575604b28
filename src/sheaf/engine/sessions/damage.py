"""Notes about damaged objects, so that no new bundle refers to them.

Readers write a note when a second read has failed as well, so an error in transit condemns nothing. Notes only help: a wrong
one costs space, and if one could not be written, the next reader finds the damage again. Repair removes a note when the
object is sound again, and gc removes it together with the object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from sheaf.engine.core import Core
from sheaf.engine.replicas.replica_records import is_copy, state_of
from sheaf.errors import Corrupt, NotFound, SheafError, Unsupported
from sheaf.format import keys
from sheaf.format.session_v1 import Damage, seal
from sheaf.format.store_v1 import WRITE_FEATURES

__all__ = ["Noted", "note_damage", "noted_keys", "read_again"]

T = TypeVar("T")


class Noted(Struct, frozen=True):
    """The objects that are noted as damaged. ``packs``: also those whose forwarding addresses lead to a damaged one."""

    packs: frozenset[bytes] = frozenset()
    nodes: frozenset[bytes] = frozenset()
    objects: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.packs or self.nodes or self.objects)


def noted_keys(core: Core) -> list[str]:
    """The keys of the objects that are noted as damaged, in ascending order."""
    listed = (keys.damaged_object(stat.key) for stat in core.backend.list(keys.DAMAGED))
    return sorted(key for key in listed if key is not None)


def note_damage(core: Core, key: str, reason: str) -> None:
    """Note that an object is damaged or missing. Does nothing if the store can't be written to."""
    if key in core.noted:
        return
    core.noted.add(key)
    try:
        if core.may_note and _accepts_notes(core):
            note = Damage(key, core.now(), reason, core.author)
            core.backend.create(keys.damaged(key), seal("damaged", note))
    except SheafError:
        return


def read_again(core: Core, key: str, read: Callable[[], T]) -> T | None:
    """Read again an object that was just found damaged. Returns None if it is still damaged, and notes that."""
    if key in core.noted:
        return None
    try:
        return read()
    except (Corrupt, NotFound, Unsupported) as error:
        note_damage(core, key, error.message)
    except SheafError:
        # The location can't be read now. The caller's first error says more than this one.
        pass
    return None


def _accepts_notes(core: Core) -> bool:
    """True if this location accepts writes: replicas accept only copies, and newer stores only writers that know them."""
    state = state_of(core)
    return WRITE_FEATURES.issuperset(state.write_features) and is_copy(core.backend, state.epoch) is None
