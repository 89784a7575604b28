"""The entry point ``sheaf``: from an argument list to an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from sheaf import __version__
from sheaf.cli.output.streams import ensure_utf8, finish_output, prepare_streams
from sheaf.cli.process_setup import set_up_process

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its exit code."""
    ensure_utf8()
    prepare_streams()
    args = list(sys.argv[1:] if argv is None else argv)
    # Answered before anything else is loaded, so that it is instant.
    if args in (["version"], ["--version"]):
        print(f"sheaf {__version__}")
        sys.exit(finish_output(0))
    set_up_process()
    from sheaf.cli.run import start
    from sheaf.cli.verbs import SHEAF, sheaf

    start(sheaf, SHEAF, args)
