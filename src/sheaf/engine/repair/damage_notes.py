"""Remove outdated notes of damage: of objects that were repaired, or were always sound."""

from __future__ import annotations

from dataclasses import dataclass, field

from sheaf.engine.check.report import FAULTS
from sheaf.engine.core import Core
from sheaf.engine.objects import get_object
from sheaf.engine.repair.verify import verify
from sheaf.engine.sessions.damage import noted_keys
from sheaf.engine.sessions.forwarding import load_forwards
from sheaf.errors import NotFound
from sheaf.format import keys

__all__ = ["Reviewed", "review_notes"]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The keys of objects that were noted as damaged: ``sound`` ones, whose notes were deleted, and ``damaged`` ones."""

    sound: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def review_notes(core: Core, *, is_dry: bool = False) -> Reviewed:
    """Read every object that is noted as damaged, and delete the notes of those that are sound."""
    found = Reviewed()
    for key in noted_keys(core):
        if not _is_sound(core, key):
            found.damaged.append(key)
            continue
        found.sound.append(key)
        if not is_dry:
            core.backend.delete(keys.damaged(key))
    return found


def _is_sound(core: Core, key: str) -> bool:
    try:
        verify(key, get_object(core.backend, key))
    except NotFound:
        return _was_moved(core, key)
    except FAULTS:
        return False
    return True


def _was_moved(core: Core, key: str) -> bool:
    """True if a key is that of a replaced pack, which need not exist."""
    try:
        return not load_forwards(core).moved.keys().isdisjoint(keys.ids_of([key]))
    except FAULTS:
        return False
