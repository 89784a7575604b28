"""The entry point ``sheaf``: from an argument list to an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from sheaf import __version__

__all__ = ["main"]


class _NoPandas:
    """pyarrow loads pandas at its first array if it is there: 0.3 s and 40 MiB that no verb has a use for."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ImportError("not in this process")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args in (["version"], ["--version"]):  # before anything else is loaded, so that it is instant
        print(f"sheaf {__version__}")
        sys.exit(0)
    sys.meta_path.insert(0, _NoPandas())
    # Arrow's own allocator keeps what it frees: half as much memory again, and slower, as measured (docs/performance.md)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # noqa: TID251 - told to a library, not read
    # numpy's linear algebra, which nothing here uses, starts a thread for each core when it is loaded
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 - told to a library, not read
    gc.set_threshold(50_000, 20, 50)  # looking for cycles costs a twentieth of an upload, and there are hardly any
    from sheaf.cli.run import start
    from sheaf.cli.verbs import SHEAF, sheaf

    start(sheaf, SHEAF, args)
