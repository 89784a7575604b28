"""``--format``: a simple subset of Go templates, ``{{.Field}}`` and ``{{.Field.Inner}}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sheaf.cli.output.text import go_time
from sheaf.errors import InvalidInput, Unsupported

__all__ = ["fill"]

_ACTION: Final = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_FIELD: Final = re.compile(r"\.[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


def fill(template: str, fields: Mapping[str, object]) -> str:
    """Return the template with its fields filled in.

    Raises Unsupported for other actions than fields, InvalidInput for unknown fields.
    """
    return _ACTION.sub(lambda match: _value(match[1], fields), template)


def _value(action: str, fields: Mapping[str, object]) -> str:
    if not _FIELD.fullmatch(action):
        raise Unsupported(f"--format supports only fields such as {{{{.ID}}}}, not {{{{{action}}}}}")
    value: object = fields
    for name in action[1:].split("."):
        if not isinstance(value, Mapping) or name not in value:
            known = ", ".join(f".{key}" for key in fields)
            raise InvalidInput(f"--format: unknown field {action}", f"use one of {known}")
        value = value[name]
    return go_time(value) if isinstance(value, datetime) else str(value)
