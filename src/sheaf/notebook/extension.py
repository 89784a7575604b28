"""What ``%load_ext sheaf`` and ``%unload_ext sheaf`` do."""

from __future__ import annotations

from typing import Any

from sheaf.notebook.display import register
from sheaf.notebook.magics import SheafMagics

__all__ = ["load", "unload"]


def load(shell: Any) -> None:
    """Give a shell the magics and the displays."""
    magics = SheafMagics(shell)
    shell.register_magics(magics)
    register(shell)


def unload(shell: Any) -> None:
    """Let go of the store."""
    magics = shell.magics_manager.registry.get("SheafMagics")
    if magics is not None:
        magics.session.close()
