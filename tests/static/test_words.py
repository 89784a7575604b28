"""User-visible text and names of modules use the words of ``docs/glossary.md``, and none of those that it rules out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "sheaf"


def ruled_out() -> list[str]:
    """The first column of the glossary's last table."""
    table = (ROOT / "docs/glossary.md").read_text(encoding="utf-8").partition("## Words not to use")[2]
    rows = re.findall(r"^\| (.+?) \| .+ \|$", table, re.MULTILINE)[1:]
    return [word for row in rows for word in row.split(", ")]


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def docstrings(tree: ast.Module) -> Iterator[tuple[ast.expr, bool]]:
    """The docstrings of a module, and if each is the help of a command."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            made = getattr(node, "decorator_list", [])
            is_help = any(isinstance(each, ast.Call) and name_of(each.func) == "verb" for each in made)
            first = node.body[0]
            assert isinstance(first, ast.Expr)
            yield first.value, is_help


def shown(source: str) -> Iterator[tuple[int, str]]:
    """The lines and texts of a module that users may see: every string of several words, and the help of commands."""
    tree = ast.parse(source)
    internal = {id(node) for node, is_help in docstrings(tree) if not is_help}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value
            and id(node) not in internal
        ):
            yield node.lineno, node.value


MODULES = [path for path in sorted(SOURCE.rglob("*.py")) if path.name != "__init__.py"]


def found(word: str, text: str) -> bool:
    """Whether a word stands in a text by itself; *who* may follow the ones it speaks of."""
    if word == "who":
        return bool(re.search(r"(?<!users )(?<!people )(?<!anyone )\bwho\b", text, re.IGNORECASE))
    return bool(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE))


def test_no_text_has_a_word_that_is_ruled_out() -> None:
    words = ruled_out()
    assert len(words) > 15
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: '{word}' in {text!r}"
        for path in MODULES
        for line, text in shown(path.read_text(encoding="utf-8"))
        for word in words
        if found(word, text)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_is_named_so() -> None:
    words = {word.replace(" ", "_") for word in ruled_out()}
    assert not [path for path in MODULES if words & {path.stem, *path.stem.split("_")}]


@pytest.mark.parametrize("word", ["anew", "who", "for good"])
def test_such_a_text_is_found_out(word: str) -> None:
    source = f'"""A module, {word}."""\nHINTS = {{2: f"it is gone {{x}} {word}"}}\n'
    assert [line for line, text in shown(source) if found(word, text)] == [2]
    verb = f'@verb(example="")\ndef add():\n    """Add it {word}."""\n'
    assert [line for line, text in shown(verb) if found(word, text)] == [3]
    assert not found("who", "users who read it")
