"""``import sheaf``: what a user types, and nothing that isn't there."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import FunctionType

import pytest

import sheaf

SOURCE = Path(sheaf.__file__)
CLASSES = [name for name in sheaf.__all__ if inspect.isclass(getattr(sheaf, name))]


def test_names_are_sorted_and_the_same_everywhere() -> None:
    assert sheaf.__all__ == sorted(sheaf.__all__)
    assert list(sheaf._WHERE) == sorted(sheaf._WHERE)
    assert {*sheaf._WHERE, "__version__"} == set(sheaf.__all__) == type_checkers_see() | {"__version__"}


def type_checkers_see() -> set[str]:
    (block,) = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    return {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_each_name_is_where_it_is_said_to_be() -> None:
    for name in sheaf._WHERE:
        assert getattr(sheaf, name).__name__ == name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(sheaf, "Nothing")


@pytest.mark.parametrize("name", CLASSES)
def test_all_that_is_public_is_explained_and_typed(name: str) -> None:
    cls = getattr(sheaf, name)
    assert inspect.getdoc(cls)
    for attribute, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if attribute.startswith("_") or not isinstance(function, FunctionType):
            continue
        assert inspect.getdoc(function), f"{name}.{attribute} has no docstring"
        assert "return" in function.__annotations__, f"{name}.{attribute} says no type"
