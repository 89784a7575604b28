"""A cell's code: run as the notebook runs it, and what it is about."""

from __future__ import annotations

import ast
from typing import Any

__all__ = ["names", "run"]


def run(shell: Any, code: str) -> None:
    """Run code in the notebook's namespace; the value of its last expression is shown. Raises what it raises."""
    name = shell.compile.cache(code)
    tree = ast.parse(shell.transform_cell(code), name)
    last = [tree.body.pop()] if tree.body and isinstance(tree.body[-1], ast.Expr) else []
    exec(compile(tree, name, "exec"), shell.user_ns)
    if last:
        exec(compile(ast.Interactive(body=list(last)), name, "single"), shell.user_ns)


def names(shell: Any, code: str) -> set[str]:
    """The names that code mentions."""
    try:
        tree = ast.parse(shell.transform_cell(code))
    except SyntaxError:  # running it will say so
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
