"""What a session may take over from other bundles by reference: nothing that its list of the condemned calls dead.

A bundle that was alive after the session registered may still need a dead pack: it was committed after gc had marked.
gc finds that out before it deletes anything, but not if the bundle is deleted first. So the list decides, however a
place was learned of.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sheaf.engine.sessions import Open
from sheaf.errors import Conflict
from sheaf.format import keys
from sheaf.model.entries import PlaceKind

__all__ = ["refuse_dead", "usable"]


def usable(rows: pa.RecordBatch | pa.Table, open: Open) -> npt.NDArray[np.bool_]:
    """Which of these rows need nothing that is dead."""
    if not open.has_dead:
        return np.ones(rows.num_rows, np.bool_)
    columns = [rows[name].to_pylist() for name in ("place", "url", "content", "pack", "packs")]
    return np.array(list(map(partial(_alive, open), *columns)), np.bool_)


def _alive(
    open: Open,
    place: int,
    session: str | None,
    content: bytes,
    pack: bytes | None,
    packs: list[dict[str, bytes]] | None,
) -> bool:
    if place == PlaceKind.OBJECT and keys.object(session or "", content) in open.dead_objects:
        return False
    return open.dead_packs.isdisjoint({pack or b"", *(use["pack"] for use in packs or ())})


def refuse_dead(rows: pa.RecordBatch, open: Open) -> None:
    """Raises Conflict if one of these rows needs what is dead."""
    if not usable(rows, open).all():
        raise Conflict(
            f"'{rows['name'][0].as_py()}' can't be taken over now: gc has condemned what it needs",
            "run the same command again when gc has ended, or upload the data",
        )
