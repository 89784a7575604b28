"""Parse sizes such as 10M."""

from __future__ import annotations

import re
from typing import Final

from sheaf.errors import InvalidInput

__all__ = ["parse_size"]

_SIZE: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?)(i?)b?(?:/s)?\s*", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Parse ``500k``, ``10MiB`` or ``1.5G`` (binary units, as in rsync) into bytes. Raises InvalidInput."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise InvalidInput(f"'{text}' is not a size", "write a number and a unit, such as 500k, 10M or 1.5G")
    power = " kmgtp".index(match[2].lower() or " ")
    return int(float(match[1]) * 1024**power)
