"""Functions for ``%load_ext sheaf`` and ``%unload_ext sheaf``."""

from __future__ import annotations

from typing import Any

from IPython.core.inputtransformer2 import cell_magic

from sheaf.notebook import cell as cells
from sheaf.notebook.display import register
from sheaf.notebook.magics import SheafMagics

__all__ = ["load", "unload"]

_RUN = "%%sheaf "


def load(shell: Any) -> None:
    """Register the magics and displays with a shell."""
    magics = SheafMagics(shell)
    shell.register_magics(magics)
    register(shell)
    transforms = _without_ours(shell)
    at = transforms.index(cell_magic) if cell_magic in transforms else len(transforms)
    transforms.insert(at, _AwaitedRun(shell))


def unload(shell: Any) -> None:
    """Remove the display of cells with await, and close the store."""
    _without_ours(shell)
    magics = shell.magics_manager.registry.get("SheafMagics")
    if magics is not None:
        magics.session.close()


class _AwaitedRun:
    """Transforms a ``%%sheaf run`` cell whose code awaits into a call that is awaited.

    A magic is an ordinary call, and the notebook's event loop is already running: only IPython can await in it.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def __call__(self, lines: list[str]) -> list[str]:
        if not lines or not lines[0].startswith(_RUN) or not self._shell.autoawait:
            return lines
        line, code = lines[0].removeprefix(_RUN).strip(), "".join(lines[1:])
        if not cells.has_await(self._shell, code):
            return lines
        return [f"await get_ipython().magics_manager.registry['SheafMagics'].run_awaited({line!r}, {code!r})\n"]


def _without_ours(shell: Any) -> list[Any]:
    """Remove this module's transform from the shell's, and return these."""
    transforms: list[Any] = shell.input_transformers_cleanup
    transforms[:] = [each for each in transforms if not isinstance(each, _AwaitedRun)]
    return transforms
