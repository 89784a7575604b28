"""Group chunks into spans: neighbours in a pack, which are fetched with one request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from sheaf.engine.chunks.wants import FRAME, GAP, Want
from sheaf.errors import Corrupt

__all__ = ["in_order", "spans", "too_long"]

_SPAN = 8 << 20  # bytes fetched in one request
_WINDOW = 8 << 20  # stored bytes of the chunks that are sorted before they are fetched
T = TypeVar("T")


def _windows(wants: Iterable[Want]) -> Iterator[list[tuple[bytes, int, int, Want]]]:
    """Yield (pack, offset, number, chunk), some megabytes of chunks at a time, each window sorted."""
    window: list[tuple[bytes, int, int, Want]] = []
    size = 0
    for number, want in enumerate(wants):
        if want.stored > FRAME:
            raise too_long(want.pack, want.offset, want.stored)
        window.append((want.pack, want.offset, number, want))
        size += want.stored
        if size >= _WINDOW:
            yield sorted(window)
            window, size = [], 0
    if window:
        yield sorted(window)


def spans(wants: Iterable[Want]) -> Iterator[tuple[list[int], list[Want]]]:
    """Group chunks that are close to each other in one pack; yield their numbers in the order given, and the chunks.

    A file of many versions has chunks in many packs in turns. In the order of the file, each turn would be a request.
    """
    for window in _windows(wants):
        numbers: list[int] = []
        span: list[Want] = []
        end = 0
        for pack, offset, number, want in window:
            near = bool(span) and pack == span[0].pack and offset - end <= GAP
            if span and not (near and offset + want.stored - span[0].offset <= _SPAN):
                yield numbers, span
                numbers, span = [], []
            numbers.append(number)
            span.append(want)
            end = offset + want.stored
        yield numbers, span


def in_order(fetched: Iterable[tuple[list[int], list[T]]]) -> Iterator[list[T]]:
    """Yield chunks in the order of their numbers, as soon as all before them are there."""
    early: dict[int, T] = {}
    at = 0
    for numbers, span in fetched:
        early.update(zip(numbers, span, strict=True))
        ready: list[T] = []
        while at in early:
            ready.append(early.pop(at))
            at += 1
        if ready:
            yield ready


def too_long(pack: bytes, offset: int, stored: int) -> Corrupt:
    """Return the error for a location whose stored length no frame can have."""
    what = f"the chunk at {offset} of pack {pack.hex()} has an invalid stored size of {stored} bytes"
    return Corrupt(what, "run `sheaf store check`")
