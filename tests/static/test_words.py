"""User-visible text and names of modules use the words of ``docs/glossary.md``, and none of those that it rules out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sheaf import errors

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "sheaf"

#: Functions whose arguments are printed, and arguments that are.
CALLS = {name for name, value in vars(errors).items() if isinstance(value, type)} | {
    "warn", "note", "line", "summary", "echo", "confirm", "warning", "claim", "claim_equal", "Finding", "Problem",
}  # fmt: skip
ARGUMENTS = {"help", "hint", "short_help", "message"}


def ruled_out() -> list[str]:
    """The first column of the glossary's last table."""
    table = (ROOT / "docs/glossary.md").read_text(encoding="utf-8").partition("## Words not to use")[2]
    rows = re.findall(r"^\| (.+?) \| .+ \|$", table, re.MULTILINE)[1:]
    return [word for row in rows for word in row.split(", ")]


def text_of(node: ast.expr) -> str:
    """The constant parts of a text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    if isinstance(node, ast.IfExp):
        return f"{text_of(node.body)} | {text_of(node.orelse)}"
    return ""


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def shown(source: str) -> Iterator[tuple[int, str]]:
    """The lines and texts of a module that users see: messages, hints, help of options and of commands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            if name_of(node.func) in CALLS:
                yield from ((arg.lineno, text_of(arg)) for arg in node.args)
            yield from ((word.value.lineno, text_of(word.value)) for word in node.keywords if word.arg in ARGUMENTS)
        elif isinstance(node, ast.FunctionDef) and any(
            isinstance(made, ast.Call) and name_of(made.func) == "verb" for made in node.decorator_list
        ):
            yield node.lineno, ast.get_docstring(node) or ""


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
    source = f"raise NotFound(f'it is gone {{x}} {word}', 'run it')"
    assert [text for _, text in shown(source) if found(word, text)]
    assert not found("who", "users who read it")
