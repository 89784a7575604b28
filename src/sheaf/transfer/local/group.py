"""Group files by number and size, for tasks of about the same length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["groups_of"]


def groups_of(
    sizes: Iterable[tuple[int, int]], most_files: int, most_bytes: int, *, alone: int | None = None
) -> Iterator[list[int]]:
    """Yield groups of the numbers in pairs of (number, size); a group ends with the file that reaches a limit.

    ``alone``: a file of more bytes than this is a group of its own; it overtakes those that are being gathered.
    """
    group: list[int] = []
    total = 0
    for number, size in sizes:
        if alone is not None and size > alone:
            yield [number]
            continue
        group.append(number)
        total += size
        if len(group) >= most_files or total >= most_bytes:
            yield group
            group, total = [], 0
    if group:
        yield group
