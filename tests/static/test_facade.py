"""``import sheaf`` and ``sheaf.api``: what a user types, and nothing that isn't there."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import sheaf
import sheaf.api
import sheaf.datamover
import sheaf.engine
import sheaf.format
import sheaf.sidecar
import sheaf.transfer
from sheaf.lazy import lazy_names

FACADES = [sheaf, sheaf.api]
INTERNAL = [sheaf.datamover, sheaf.engine, sheaf.format, sheaf.sidecar, sheaf.transfer]
NO_CLASS = {"Mode", "folder_status", "parse_address", "parse_ref", "parse_time", "connect", "init", "__version__"}
CLASSES = [(facade, name) for facade in FACADES for name in facade.__all__ if name not in NO_CLASS]


@pytest.mark.parametrize("facade", FACADES + INTERNAL, ids=lambda facade: facade.__name__)
def test_names_are_sorted_and_the_same_everywhere(facade: ModuleType) -> None:
    own = {"__version__"} & set(facade.__all__)
    assert facade.__all__ == sorted(facade.__all__)
    assert list(facade._WHERE) == sorted(facade._WHERE)
    assert {*facade._WHERE, *own} == set(facade.__all__) == type_checkers_see(facade) | own


def type_checkers_see(facade: ModuleType) -> set[str]:
    tree = ast.parse(Path(str(facade.__file__)).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)]
    return {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


@pytest.mark.parametrize("facade", FACADES, ids=lambda facade: facade.__name__)
def test_each_name_is_where_it_is_said_to_be(facade: ModuleType) -> None:
    for name, where in facade._WHERE.items():
        value = getattr(facade, name)
        assert value is getattr(importlib.import_module(where), name)
        assert name == "Mode" or (value.__name__, value.__module__) == (name, where)


def test_no_name_is_in_both() -> None:
    assert set(sheaf.__all__).isdisjoint(sheaf.api.__all__)


@pytest.mark.parametrize("facade", FACADES, ids=lambda facade: facade.__name__)
def test_a_name_that_is_not_there_is_an_attribute_error(facade: ModuleType) -> None:
    assert not hasattr(facade, "Nothing")


def test_importing_them_loads_nothing_else() -> None:
    script = "import sheaf.api, sys; print(*sorted(name for name in sys.modules if name.startswith('sheaf')))"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert loaded == ["sheaf", "sheaf.api"]


@pytest.mark.parametrize(("facade", "name"), CLASSES, ids=lambda it: getattr(it, "__name__", it))
def test_all_that_is_public_is_explained_and_typed(facade: ModuleType, name: str) -> None:
    cls = getattr(facade, name)
    assert inspect.isclass(cls)
    assert inspect.getdoc(cls)
    for attribute, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if attribute.startswith("_") or not isinstance(function, FunctionType):
            continue
        assert inspect.getdoc(function), f"{name}.{attribute} has no docstring"
        assert "return" in function.__annotations__, f"{name}.{attribute} says no type"


@pytest.mark.parametrize("facade", FACADES + INTERNAL, ids=lambda facade: facade.__name__)
def test_no_name_is_that_of_a_module_in_the_package(facade: ModuleType) -> None:
    """Importing that module would replace the name by the module."""
    modules = {module.name for module in pkgutil.iter_modules(getattr(facade, "__path__", []))}
    assert not modules & facade._WHERE.keys()


def test_a_lazy_name_is_that_of_its_module_and_no_other_name_is_there() -> None:
    load = lazy_names("package", {"OrderedDict": "collections"})
    assert load("OrderedDict") is OrderedDict
    with pytest.raises(AttributeError, match="module 'package' has no attribute 'Counter'"):
        load("Counter")
