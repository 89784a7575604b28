"""``sheaf version`` with options; the bare form is answered before click is loaded."""

from __future__ import annotations

import platform

from sheaf import __version__
from sheaf.cli.app import App
from sheaf.cli.verb_tree import verb

__all__ = ["version"]


@verb(example="sheaf version --json")
def version(app: App) -> None:
    """Show the version of Sheaf."""
    app.out.line(f"sheaf {__version__}")
    app.out.object({"version": __version__, "python": platform.python_version(), "platform": platform.platform()})
