"""Verify that bytes are valid for their key. Everything that comes from a copy is verified."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from blake3 import blake3

from sheaf.engine.check.small_objects import decoder_of
from sheaf.engine.chunks.verify_pack import verify_pack
from sheaf.errors import Corrupt
from sheaf.format import keys
from sheaf.format.record_v1 import decode_page, decode_record
from sheaf.format.store_v1 import decode_config

__all__ = ["verify"]


def verify(key: str, data: bytes) -> None:
    """Raise Corrupt or Unsupported unless these bytes are sound and, as far as they show it, belong under this key."""
    for pattern, check in _CHECKS:
        if (match := pattern.fullmatch(key)) is not None:
            check(data, key, match[1] if match.lastindex else "")
            return
    decoder_of(key)(data, key)


def _pack(data: bytes, key: str, id: str) -> None:
    verify_pack(data, bytes.fromhex(id))


def _hashed(data: bytes, key: str, id: str) -> None:
    if blake3(data).hexdigest() != id:
        raise Corrupt(f"{key} is damaged: its bytes don't match its name")


def _record(data: bytes, key: str, digits: str) -> None:
    record = decode_record(data, key)
    if record.n != keys.record_number(key):
        raise Corrupt(f"{key} contains record {record.n}")


def _page(data: bytes, key: str, digits: str) -> None:
    decode_page(data, key)


def _config(data: bytes, key: str, nothing: str) -> None:
    decode_config(data)


_CHECKS: Final[tuple[tuple[re.Pattern[str], Callable[[bytes, str, str], None]], ...]] = (
    (re.compile(r"packs/[0-9a-f]{2}/([0-9a-f]{64})"), _pack),
    (re.compile(r"nodes/[0-9a-f]{2}/([0-9a-f]{64})"), _hashed),
    (re.compile(r"objects/[0-9a-f]{2}/[0-9A-Za-z]+-([0-9a-f]{64})"), _hashed),
    (re.compile(r"(?:repos/[0-9A-Za-z]+/)?log/[0-9]+/([0-9]{15})\.json"), _record),
    (re.compile(r"(?:repos/[0-9A-Za-z]+/)?pages/([0-9]{12})"), _page),
    (re.compile(r"sheaf\.json"), _config),
)
