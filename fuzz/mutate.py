"""Bytes that were right once: bits turned, pieces cut out, put in twice, or replaced by numbers at the ends of ranges."""

from __future__ import annotations

import random

__all__ = ["mutated"]

_NUMBERS = [
    n.to_bytes(8, "little", signed=n < 0) for n in (0, 1, -1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, -(2**63))
]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to four changes of a sample."""
    for _ in range(chance.randint(1, 4)):
        data = chance.choice(_CHANGES)(data, chance)
    return data


def _flip(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + bytes(byte ^ 1 << chance.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]


def _cut(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + data[at + chance.randint(1, 64) :]


def _end(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _again(data: bytes, chance: random.Random) -> bytes:
    start, at = chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)
    return data[:at] + data[start : start + chance.randint(1, 64)] + data[at:]


def _number(data: bytes, chance: random.Random) -> bytes:
    size = chance.choice((1, 2, 4, 8))
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(_NUMBERS)[:size] + data[at + size :]


_CHANGES = (_flip, _flip, _cut, _end, _again, _number, _number)
