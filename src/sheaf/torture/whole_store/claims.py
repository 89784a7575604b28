"""Assertions that work without pytest and under ``python -O``."""

from __future__ import annotations

from collections.abc import Callable

from sheaf.errors import SheafError

__all__ = ["Broken", "claim", "claim_equal", "claim_refused"]

_SHOWN = 120  # characters of a value that a message shows


class Broken(AssertionError):
    """A guarantee does not hold; the text says what was observed."""


def claim(holds: bool, otherwise: str) -> None:
    """Raise Broken with the text ``otherwise`` unless ``holds``."""
    if not holds:
        raise Broken(otherwise)


def claim_equal(found: object, expected: object, what: str) -> None:
    """Raise Broken unless ``found`` equals ``expected``; ``what`` names the value."""
    if found != expected:
        raise Broken(f"{what}: expected {_shown(expected)}, got {_shown(found)}")


def claim_refused(category: type[SheafError], call: Callable[[], object], what: str, name: str = "") -> None:
    """Raise Broken unless the call raises an error of this category whose message contains ``name``."""
    try:
        call()
    except category as error:
        claim(name in error.message, f"{what}: the error doesn't name {name}: {error.message}")
    else:
        raise Broken(f"{what}: expected {category.__name__}, got no error")


def _shown(value: object) -> str:
    text = f"{len(value)} bytes {value[:16]!r}…" if isinstance(value, bytes) and len(value) > 32 else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
