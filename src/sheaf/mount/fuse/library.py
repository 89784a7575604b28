"""Choose the FUSE library, without loading it."""

from __future__ import annotations

import importlib.util
import sys
from typing import Final

from sheaf.errors import Unsupported

__all__ = ["check_library"]

_EXTRA: Final = "pip install 'sheaf-data[mount]'"
_BUILD: Final = "; pyfuse3 is built from source and requires libfuse3-dev and pkg-config"


def check_library(library: str | None = None) -> str:
    """Return the name of the FUSE binding to use. Raises Unsupported if none is installed."""
    wanted = [library] if library else ["pyfuse3", "mfusepy"] if sys.platform == "linux" else ["mfusepy"]
    for name in wanted:
        if importlib.util.find_spec(name) is not None:
            return name
    build = _BUILD if "pyfuse3" in wanted else ""
    raise Unsupported(f"mounting requires {' or '.join(wanted)}, which is not installed", _EXTRA + build)
