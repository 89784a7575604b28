"""Validate values before they are written to a configuration file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sheaf.errors import InvalidInput
from sheaf.settings.settings import FILES, OPTION_KEYS
from sheaf.settings.sizes import parse_size
from sheaf.storage.open import is_path, parse_location
from sheaf.storage.storage_options import StorageOptions

__all__ = ["checked"]


def checked(values: Mapping[str, str]) -> dict[str, str]:
    """Return the values for the file, with absolute paths. Raises InvalidInput."""
    return {key: _checked(key, value) for key, value in values.items()}


def _checked(key: str, value: str) -> str:
    if key == "limit_rate":
        parse_size(value)
    elif key in OPTION_KEYS:
        StorageOptions().merged({key: value})
    if key == "store":
        parse_location(value, StorageOptions())
    if value and (key in FILES or (key == "store" and is_path(value))):
        return _absolute(key, value)
    return value


def _absolute(key: str, value: str) -> str:
    try:
        return os.path.abspath(Path(value).expanduser())  # noqa: PTH100 - pathlib would keep ".."
    except RuntimeError:
        raise InvalidInput(f"{key}: no home folder for '{value}'", "write an absolute path") from None
