"""The keys of objects in a store (docs/format/v1.md, "Keys"). No name that a user chose is part of a key."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sheaf.errors import Corrupt
from sheaf.model.ids import is_ksuid

__all__ = [
    "BEHIND",
    "CONDEMNED",
    "CONFIG",
    "DAMAGED",
    "ERASED",
    "ERASING",
    "INDEX",
    "MAX_RECORD",
    "MOVED",
    "NODES",
    "OBJECTS",
    "PACKS",
    "RECEIPTS",
    "REPLICA",
    "REPOS",
    "RUNS",
    "SESSIONS",
    "SLOTS",
    "STORE_LOG",
    "behind",
    "condemned",
    "damaged",
    "damaged_object",
    "erased",
    "erasing",
    "ids_of",
    "index",
    "log_page",
    "log_record",
    "moved",
    "moved_from",
    "node",
    "pack",
    "receipt",
    "record_number",
    "replica",
    "replica_epoch",
    "repo",
    "run",
    "session",
    "slot",
    "stored_object",
]

CONFIG = "sheaf.json"
STORE_LOG = ""
REPOS = "repos/"
PACKS = "packs/"
NODES = "nodes/"
OBJECTS = "objects/"
INDEX = "index/"
SESSIONS = "sessions/"
CONDEMNED = "condemned/"
MOVED = "moved/"
ERASED = "erased/"
ERASING = "erasing/"
DAMAGED = "damaged/"
RUNS = "runs/"
RECEIPTS = "receipts/"
REPLICA = "replica/"
BEHIND = "behind/"
SLOTS = "keys/"

#: Records are numbered downwards from here in keys, so that the newest comes first in a listing.
MAX_RECORD = 10**15 - 1

_HASHED = re.compile(r"(?:packs|nodes)/[0-9a-f]{2}/([0-9a-f]{64})")
_DATA = re.compile(rf"{_HASHED.pattern}|objects/[0-9a-f]{{2}}/[0-9A-Za-z]+-[0-9a-f]{{64}}")
_SHOWN = 100  # characters of a bad id that a message shows
_NUMBER = re.compile(r"[0-9]{15}", re.ASCII)
_MOVED = re.compile(r"moved/[0-9a-f]{2}/([0-9a-f]{64})/[0-9]{15}")


def pack(id: bytes) -> str:
    """``packs/<2 hex>/<pack id>``."""
    return f"{PACKS}{id[:1].hex()}/{id.hex()}"


def node(id: bytes) -> str:
    """``nodes/<2 hex>/<node id>``."""
    return f"{NODES}{id[:1].hex()}/{id.hex()}"


def ids_of(found: Iterable[str]) -> list[bytes]:
    """The ids in keys of packs or nodes. Keys of other shapes, which Sheaf never creates, are left out."""
    return [bytes.fromhex(match[1]) for match in map(_HASHED.fullmatch, found) if match]


def stored_object(session: str, content: bytes) -> str:
    """``objects/<2 hex>/<session>-<content>``."""
    return f"{OBJECTS}{content[:1].hex()}/{session}-{content.hex()}"


def index(level: int, ksuid: str, digest: bytes) -> str:
    """``index/<level>/<ksuid>-<blake3>``."""
    return f"{INDEX}{level}/{ksuid}-{digest.hex()}"


def moved(pack_id: bytes, n: int) -> str:
    """``moved/<2 hex>/<pack id>/<inverted n>``."""
    return f"{MOVED}{pack_id[:1].hex()}/{pack_id.hex()}/{MAX_RECORD - n:015d}"


def moved_from(key: str) -> bytes | None:
    """The id of the pack that a forwarding address belongs to; None for a key that Sheaf never creates."""
    match = _MOVED.fullmatch(key)
    return bytes.fromhex(match[1]) if match else None


def session(id: str) -> str:
    """``sessions/<bundle id>.json``."""
    return f"{SESSIONS}{id}.json"


def condemned(generation: str) -> str:
    """``condemned/<generation>``."""
    return f"{CONDEMNED}{generation}"


def erased(content: bytes) -> str:
    """``erased/<content>``."""
    return f"{ERASED}{content.hex()}"


def erasing(id: str) -> str:
    """``erasing/<ksuid>.json``."""
    return f"{ERASING}{id}.json"


def damaged(key: str) -> str:
    """``damaged/<key of a pack, a node or a whole object>``."""
    return f"{DAMAGED}{key}"


def damaged_object(note: str) -> str | None:
    """The key that a damage note is about; None if ``note`` is not the key of a damage note."""
    key = note.removeprefix(DAMAGED)
    return key if _DATA.fullmatch(key) else None


def receipt(id: str) -> str:
    """``receipts/<ksuid>.json``."""
    return f"{RECEIPTS}{id}.json"


def run(id: str, part: str) -> str:
    """``runs/<ksuid>/start.json`` or ``end.json``."""
    return f"{RUNS}{id}/{part}.json"


def replica(epoch: int) -> str:
    """``replica/<inverted epoch>.json``."""
    return f"{REPLICA}{MAX_RECORD - epoch:015d}.json"


def replica_epoch(key: str) -> int:
    """The epoch in a key of :func:`replica`. Raises Corrupt for a key that Sheaf never creates."""
    return _inverted(key)


def behind(replica: str, id: str = "") -> str:
    """``behind/<16 hex of the replica's URL>/<ksuid>.json``; without an id the prefix of all notes about one replica."""
    return f"{BEHIND}{replica}/{id}{'.json' if id else ''}"


def slot(id: str) -> str:
    """``keys/<ksuid>.json``."""
    return f"{SLOTS}{id}.json"


def repo(id: str) -> str:
    """``repos/<repo id>/``, the prefix of ``log/`` and ``diamonds/``. Raises Corrupt for an invalid id."""
    if not is_ksuid(id):
        raise Corrupt(f"the store's log contains an invalid repo id: {id[:_SHOWN]!r}", "run `sheaf store check`")
    return f"{REPOS}{id}/"


def log_record(base: str, n: int) -> str:
    """``<base>log/<first 12 digits>/<15 digits>.json`` of the inverted number: at most 1,000 records a folder."""
    digits = f"{MAX_RECORD - n:015d}"
    return f"{base}log/{digits[:12]}/{digits}.json"


def log_page(base: str, k: int) -> str:
    """``<base>pages/<12 digits>``: records 1000k to 1000k + 999, without their states; the newest page first."""
    return f"{base}pages/{10**12 - 1 - k:012d}"


def record_number(key: str) -> int:
    """The number of the record in a key of :func:`log_record`. Raises Corrupt for another key."""
    return _inverted(key)


def _inverted(key: str) -> int:
    digits = key.rpartition("/")[2].removesuffix(".json")
    if _NUMBER.fullmatch(digits) is None:
        raise Corrupt(f"{key} is not a valid key here", "remove it from the store")
    return MAX_RECORD - int(digits)
