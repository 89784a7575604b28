"""Identifiers: KSUIDs for events such as bundles and sessions, BLAKE3-256 for contents.

A KSUID (https://github.com/segmentio/ksuid) is 20 bytes, four of seconds since 2014-05-13 (big-endian) and sixteen
random ones, written as 27 base-62 characters that sort like the bytes.
"""

from __future__ import annotations

import re

from sheaf.errors import InvalidInput

__all__ = [
    "HASH_BYTES",
    "ZERO_HASH",
    "check_hashes",
    "check_ids",
    "is_ksuid",
    "is_ksuid_prefix",
    "is_version",
    "ksuid",
    "parse_hash",
]

HASH_BYTES = 32
ZERO_HASH = bytes(HASH_BYTES)

_EPOCH = 1_400_000_000
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGIT = {letter: value for value, letter in enumerate(_ALPHABET)}
_KSUID = re.compile(r"[0-9A-Za-z]{27}")
_KSUID_PREFIX = re.compile(r"[0-9A-Za-z]{8,27}")
_VERSION = re.compile(r"[0-9a-f]{8,64}")
_HASH = re.compile(r"[0-9a-f]{64}")
_LIMIT = 1 << 160
_SHOWN = 100  # characters of a bad value that a message shows


def ksuid(seconds: int, payload: bytes) -> str:
    """Create the KSUID of a moment (Unix seconds) with 16 bytes that make it unique.

    A moment before 2014 or after 2150, which a KSUID can't contain, becomes the nearest possible one: a wrong clock must
    not stop anyone, since the payload alone makes ids different and no decision depends on their times.

    Raises:
        ValueError: the payload isn't 16 bytes.
    """
    since = min(max(seconds - _EPOCH, 0), (1 << 32) - 1)
    if len(payload) != 16:
        raise ValueError("a KSUID needs 16 bytes")
    number = int.from_bytes(since.to_bytes(4, "big") + payload, "big")
    letters = []
    for _ in range(27):
        number, digit = divmod(number, 62)
        letters.append(_ALPHABET[digit])
    return "".join(reversed(letters))


def is_ksuid(text: str) -> bool:
    """True if the text has the shape of a KSUID and fits into 20 bytes."""
    return _KSUID.fullmatch(text) is not None and _number(text) < _LIMIT


def is_ksuid_prefix(text: str) -> bool:
    """True if the text may be the beginning of a KSUID, or all of it: 8 to 27 characters. Few words have this shape."""
    return _KSUID_PREFIX.fullmatch(text) is not None and _number(text.ljust(27, "0")) < _LIMIT


def _number(text: str) -> int:
    number = 0
    for letter in text:
        number = number * 62 + _DIGIT[letter]
    return number


def is_version(text: str) -> bool:
    """True if the text may be a version hash or its beginning: 8 to 64 lower-case hex digits."""
    return _VERSION.fullmatch(text) is not None


def parse_hash(text: str) -> bytes:
    """Convert 64 hex digits, with or without the prefix ``b3:``, to 32 bytes. Raises InvalidInput."""
    digits = text.removeprefix("b3:")
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        value = b""
    if len(value) != HASH_BYTES:
        raise InvalidInput(f"'{text}' is not a BLAKE3 hash", "give 64 hex digits, as printed by `b3sum`")
    return value


def check_ids(*texts: str) -> None:
    """Raise ValueError for the first text that is not a KSUID, since ids become parts of keys."""
    for text in texts:
        if not is_ksuid(text):
            raise ValueError(f"{text[:_SHOWN]!r} is not an id")


def check_hashes(*texts: str) -> None:
    """Raise ValueError for the first text that is not 64 lower-case hex digits."""
    for text in texts:
        if _HASH.fullmatch(text) is None:
            raise ValueError(f"{text[:_SHOWN]!r} is not a hash")
