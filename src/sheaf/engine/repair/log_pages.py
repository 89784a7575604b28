"""Write missing or damaged pages of logs again, from the records that they copy."""

from __future__ import annotations

from collections.abc import Iterable

from sheaf.engine.check.report import FAULTS, Problem
from sheaf.engine.core import Core
from sheaf.engine.objects import get_object
from sheaf.format import keys
from sheaf.format.record_v1 import PAGE_RECORDS, decode_record, encode_page
from sheaf.storage.port import Created

__all__ = ["write_pages"]


def write_pages(core: Core, problems: Iterable[Problem], *, is_dry: bool = False) -> tuple[list[str], dict[str, str]]:
    """Write pages; return the keys of those that were written, and those that could not be, with the reason."""
    written: list[str] = []
    failed: dict[str, str] = {}
    for key in (problem.key for problem in problems if problem.kind == "page"):
        try:
            data = _page(core, key)
        except FAULTS as error:
            failed[key] = error.message
            continue
        if not is_dry and core.backend.create(key, data) is Created.OTHER:
            core.backend.replace(key, data)
        written.append(key)
    return written, failed


def _page(core: Core, key: str) -> bytes:
    """Return the content of a page. Raises Corrupt or NotFound if one of its records can't be read."""
    base, _, digits = key.rpartition("pages/")
    first = (10**12 - 1 - int(digits)) * PAGE_RECORDS
    records = [keys.log_record(base, n) for n in range(first, first + PAGE_RECORDS)]
    return encode_page(
        list(core.io.map(lambda record: decode_record(get_object(core.backend, record), record), records))
    )
