"""Hints name commands: each of them must be there, with the options that the hint gives."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import sheaf
from sheaf.cli.options import GLOBAL_OPTIONS
from sheaf.cli.verb_tree import Verb, _load
from sheaf.cli.verbs import NOUNS, VERBS

SOURCES = Path(sheaf.__file__).parent
COMMAND = re.compile(r"[`']sheaf ([a-z][^`']*)[`']")
WORDS = max(len(name.split()) for name in VERBS)


def _texts(node: ast.AST) -> Iterator[str]:
    """The strings of a module as a user sees them, each value that is filled in as X."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from _texts(child)


def _commands() -> list[str]:
    texts = (text for path in sorted(SOURCES.rglob("*.py")) for text in _texts(ast.parse(path.read_text())))
    return sorted({match for text in texts for match in COMMAND.findall(text)})


def _verb_of(words: list[str]) -> str | None:
    names = (" ".join(words[:count]) for count in range(WORDS, 0, -1))
    return next((name for name in names if name in VERBS), None)


@pytest.mark.parametrize("command", _commands())
def test_a_hint_names_a_command_that_is_there(command: str) -> None:
    words = command.split()
    if words[0] in NOUNS and words[1] == "X":  # the verb itself is filled in
        return
    name = _verb_of(words)
    assert name is not None, f"sheaf {command}"
    found = _load(VERBS[name])
    assert isinstance(found, Verb)
    known = {
        flag for param in (*found.params, *GLOBAL_OPTIONS) if isinstance(param, click.Option) for flag in param.opts
    }
    known |= {"--help", "--config"}
    given = {word.partition("=")[0] for word in words if word.startswith("--") and "X" not in word}
    assert given <= known, f"sheaf {command}"
