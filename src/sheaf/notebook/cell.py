"""Run and analyse the code of a cell."""

from __future__ import annotations

import ast
import inspect
from types import CodeType
from typing import Any

__all__ = ["has_await", "names", "run"]


async def run(shell: Any, code: str) -> None:
    """Run code in the notebook's namespace and show the value of its last expression. Raises the code's exceptions.

    Never suspends unless the code awaits something outside of its functions.
    """
    name = shell.compile.cache(code)
    tree = ast.parse(shell.transform_cell(code), name)
    last = [tree.body.pop()] if tree.body and isinstance(tree.body[-1], ast.Expr) else []
    await _execute(shell, _compiled(tree, name, "exec"))
    if last:
        await _execute(shell, _compiled(ast.Interactive(body=list(last)), name, "single"))


def has_await(shell: Any, code: str) -> bool:
    """True if code awaits at top level, so that an event loop must run it."""
    try:
        return _is_coroutine(_compiled(ast.parse(shell.transform_cell(code)), "<cell>", "exec"))
    except (SyntaxError, ValueError):
        # Running the code will report this error.
        return False


def names(shell: Any, code: str) -> set[str]:
    """Return the names that occur in the code."""
    try:
        tree = ast.parse(shell.transform_cell(code))
    except SyntaxError:
        # Running the code will report this error.
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _compiled(tree: ast.Module | ast.Interactive, name: str, mode: str) -> CodeType:
    compiled: CodeType = compile(tree, name, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return compiled


def _is_coroutine(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_COROUTINE)


async def _execute(shell: Any, code: CodeType) -> None:
    value = eval(code, shell.user_ns)
    if _is_coroutine(code):
        await value
