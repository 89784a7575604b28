"""``-v``: log the steps of a call as plain lines on standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import Final, TextIO

from sheaf.cli.output.text import quote, redact

__all__ = ["logged"]

_LEVELS: Final = {1: logging.INFO, 2: logging.DEBUG}


class _Lines(logging.StreamHandler[TextIO]):
    """Prints each record as one line, in which names are quoted as in other output."""

    def format(self, record: logging.LogRecord) -> str:
        args = record.args if isinstance(record.args, tuple) else ()
        shown = (arg if isinstance(arg, int | float) else quote(str(arg)) for arg in args)
        return redact(str(record.msg) % tuple(shown))


@contextlib.contextmanager
def logged(level: int) -> Iterator[None]:
    """Log the steps of the library in the block: at level 1 files, phases and retries, from 2 on also requests."""
    logger, handler = logging.getLogger("sheaf"), _Lines(sys.stderr)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(_LEVELS[min(level, 2)])
    # Otherwise a program that has set up logging itself would print each line twice.
    logger.propagate = False
    began = time.monotonic()
    try:
        yield
    finally:
        logger.info("took %.2f s", time.monotonic() - began)
        logger.removeHandler(handler)
        level, logger.propagate = before
        logger.setLevel(level)
