"""Work ahead: start the next pieces of work while the result of one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")
U = TypeVar("U")


def ahead(pool: Executor, work: Callable[[T], U], items: Iterable[T], window: int) -> Iterator[U]:
    """Yield the results in the order of the items. At most ``window`` of them wait to be used, which bounds memory."""
    pending: deque[Future[U]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) >= window:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
