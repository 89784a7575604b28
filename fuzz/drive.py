"""One decoder under atheris: `python -m fuzz.drive NAME CORPUS [libFuzzer options]`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["sheaf", "msgspec", "numpy"]):
    from fuzz.targets import targets


def main() -> None:
    """Runs until a limit that the options name; an input that raises is written to a file and ends it."""
    atheris.Setup([sys.argv[0], *sys.argv[2:]], targets()[sys.argv[1]].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
