"""Saying what must hold, in a way that works without pytest and when Python runs without assertions."""

from __future__ import annotations

from collections.abc import Callable

from sheaf.errors import SheafError

__all__ = ["Broken", "claim", "claim_equal", "claim_refused"]

_SHOWN = 120  # characters of a value that a message shows


class Broken(AssertionError):
    """Something that was promised does not hold; the text says what was seen."""


def claim(holds: bool, otherwise: str) -> None:
    """Raises Broken."""
    if not holds:
        raise Broken(otherwise)


def claim_equal(found: object, expected: object, what: str) -> None:
    """``what`` names the thing that should be ``expected``. Raises Broken, showing both."""
    if found != expected:
        raise Broken(f"{what}: {_shown(found)} rather than {_shown(expected)}")


def claim_refused(category: type[SheafError], call: Callable[[], object], what: str, name: str = "") -> None:
    """The call raises an error of this category, which names ``name``. Raises Broken."""
    try:
        call()
    except category as error:
        claim(name in error.message, f"{what}: the error doesn't name {name}: {error.message}")
    else:
        raise Broken(f"{what}: no error, rather than {category.__name__}")


def _shown(value: object) -> str:
    text = f"{len(value)} bytes {value[:16]!r}…" if isinstance(value, bytes) and len(value) > 32 else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
