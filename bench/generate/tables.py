"""Tables that grow and change: S6 and W8."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from bench.generate.content import WORDS, rng_of

__all__ = ["csv_rows", "keyed_rows", "sqlite_rows"]

_ROWS = 20_000  # rows that each version of a table adds


def csv_rows(path: Path, version: int) -> None:
    """Append rows to a CSV."""
    rng = rng_of(9, version)
    names, values = rng.integers(0, 4096, _ROWS), rng.normal(size=_ROWS)
    with path.open("a") as file:
        for i in range(_ROWS):
            word = WORDS[names[i]].tobytes().decode().strip()
            file.write(f"{version * _ROWS + i},{word},{values[i]:.6f}\n")


def sqlite_rows(path: Path, version: int) -> None:
    """Add rows to a table with an index, and change one row in a thousand."""
    rng = rng_of(10, version)
    words = [WORDS[i].tobytes().decode().strip() for i in rng.integers(0, 4096, _ROWS).tolist()]
    with sqlite3.connect(path) as db:
        db.execute("create table if not exists item (id integer primary key, name text, value real)")
        db.execute("create index if not exists by_name on item (name)")
        db.executemany(
            "insert into item (name, value) values (?, ?)", zip(words, rng.normal(size=_ROWS).tolist(), strict=True)
        )
        ids = rng.integers(1, version * _ROWS + 2, max(version * _ROWS // 1000, 1)).tolist()
        db.executemany("update item set value = 0 where id = ?", [(i,) for i in ids])
    db.close()
    os.utime(path)


def keyed_rows(path: Path, version: int) -> None:
    """Add rows to a table whose index is over random keys, so that each version changes pages all over the file.

    One row in a thousand of those that were there changes, too.
    """
    rng = rng_of(12, version)
    keys = rng.integers(0, 1 << 62, _ROWS).tolist()
    values = rng.normal(size=_ROWS).tolist()
    with sqlite3.connect(path) as db:
        db.execute("create table if not exists sample (id integer primary key, key text, value real)")
        db.execute("create index if not exists by_key on sample (key)")
        rows = ((f"{key:016x}", value) for key, value in zip(keys, values, strict=True))
        db.executemany("insert into sample (key, value) values (?, ?)", rows)
        ids = rng.integers(1, version * _ROWS + 2, max(version * _ROWS // 1000, 1)).tolist()
        db.executemany("update sample set value = 0 where id = ?", [(i,) for i in ids])
    db.close()
    os.utime(path)
