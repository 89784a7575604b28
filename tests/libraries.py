"""Libraries that only some tests need."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

__all__ = ["need"]


def need(name: str) -> Any:
    """The module; the test that asks for it is skipped where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return pytest.skip(f"{name.partition('.')[0]} is not installed")
