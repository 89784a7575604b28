"""The kinds of objects, by which their keys determine the order of copying."""

from __future__ import annotations

import enum

from blake3 import blake3

from sheaf.format import keys

__all__ = ["ObjectKind", "kind_of", "log_of", "replica_id"]


class ObjectKind(enum.IntEnum):
    """The order of copying: objects of a later kind may refer to those of an earlier kind."""

    DATA = 0  #: packs, objects, notices of erasure, and everything else
    NODE = 1
    LINK = 2  #: begins a write, or refers to what is in no log yet: sessions, index, diamonds
    RECORD = 3
    PAGE = 4
    LOCAL = 5  #: belongs to one location and is never copied


_KINDS = {
    "log/": ObjectKind.RECORD,
    "pages/": ObjectKind.PAGE,
    keys.NODES: ObjectKind.NODE,
    keys.INDEX: ObjectKind.LINK,
    keys.SESSIONS: ObjectKind.LINK,
}


#: Folders with objects that belong to one location.
LOCAL = (keys.REPLICA, keys.BEHIND, keys.ERASING, keys.DAMAGED, "staging/")


def kind_of(key: str) -> ObjectKind:
    """The kind of an object, which decides when it is copied."""
    top, _, rest = key.partition("/")
    folder = f"{top}/"
    if folder in LOCAL:
        return ObjectKind.LOCAL
    if folder == keys.REPOS:
        folder = f"{rest.partition('/')[2].partition('/')[0]}/"
        return {"log/": ObjectKind.RECORD, "pages/": ObjectKind.PAGE}.get(folder, ObjectKind.LINK)
    return _KINDS.get(folder, ObjectKind.DATA)


def log_of(key: str) -> tuple[str, int]:
    """The log of a record's key (the part before ``log/``), and the record's number."""
    return key[: key.rindex("log/")], keys.record_number(key)


def replica_id(url: str) -> str:
    """The id of a replica in keys: 16 hex digits of the BLAKE3 of its URL."""
    return blake3(url.encode()).hexdigest()[:16]
