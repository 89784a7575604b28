"""Notes in the store of what was found damaged: whoever makes a bundle refers to nothing of it.

Whoever reads writes them, when a second read has failed, too; so an error on the way condemns nothing. A note is a help and
never a truth: one that is wrong costs space, and one that could not be written is found out by the next reader. A repair
takes it away when the object is sound again, and gc together with the object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sheaf.engine.core import Core
from sheaf.engine.replicas.replica_records import is_copy, state_of
from sheaf.errors import Corrupt, NotFound, SheafError, Unsupported
from sheaf.format import keys
from sheaf.format.session_v1 import Damage, seal
from sheaf.format.store_v1 import WRITE_FEATURES

__all__ = ["Noted", "note_damage", "noted_keys", "read_again"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Noted:
    """What is noted as damaged. ``packs``: also those from which a reader is sent on to one that is."""

    packs: frozenset[bytes] = frozenset()
    nodes: frozenset[bytes] = frozenset()
    objects: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.packs or self.nodes or self.objects)


def noted_keys(core: Core) -> list[str]:
    """The keys of the objects that are noted as damaged, in order."""
    listed = (keys.damaged_object(stat.key) for stat in core.backend.list(keys.DAMAGED))
    return sorted(key for key in listed if key is not None)


def note_damage(core: Core, key: str, reason: str) -> None:
    """Note that an object is damaged or missing. Where the store can't be written to, nothing happens."""
    if key in core.noted:
        return
    core.noted.add(key)
    try:
        if core.may_note and _takes_notes(core):
            note = Damage(key, core.now(), reason, core.author)
            core.backend.create(keys.damaged(key), seal("damaged", note))
    except SheafError:
        return


def read_again(core: Core, key: str, read: Callable[[], T]) -> T | None:
    """What ``read`` gives of an object that was found damaged just now. None: it is still damaged, which is noted."""
    if key in core.noted:
        return None
    try:
        return read()
    except (Corrupt, NotFound, Unsupported) as error:
        note_damage(core, key, error.message)
    except SheafError:
        pass  # the place can't be asked now: the first error says more
    return None


def _takes_notes(core: Core) -> bool:
    """True if this place takes writes at all: a replica takes copies only, and a newer store writers that know it."""
    state = state_of(core)
    return WRITE_FEATURES.issuperset(state.write_features) and is_copy(core.backend, state.epoch) is None
