"""Rows that wait on disk come back as they were."""

from __future__ import annotations

import tempfile
from unittest.mock import patch

import pyarrow as pa
import pytest

from sheaf.transfer.spool import Spool


def batch(number: int) -> pa.RecordBatch:
    """A hundred rows."""
    return pa.RecordBatch.from_pydict({"n": range(100 * number, 100 * number + 100), "text": [f"{number}"] * 100})


@pytest.mark.parametrize("room", [0, 3000, 1 << 20])
def test_rows_come_back_in_order_as_often_as_they_are_asked_for(room: int) -> None:
    with Spool(room) as spool:
        for number in range(10):
            spool.add(batch(number))
            assert list(spool) == [batch(n) for n in range(number + 1)]
        assert list(spool) == list(spool)


def test_an_empty_spool_has_no_rows() -> None:
    with Spool() as spool:
        assert not list(spool)


def test_little_stays_in_memory() -> None:
    with Spool(3000) as spool:
        for number in range(50):
            spool.add(batch(number))
        assert sum(one.nbytes for one in spool._held) <= 3000


def test_where_no_file_can_be_made_rows_stay_in_memory() -> None:
    with patch.object(tempfile, "TemporaryFile", side_effect=OSError("no space")), Spool(0) as spool:
        for number in range(3):
            spool.add(batch(number))
        assert list(spool) == [batch(n) for n in range(3)]
