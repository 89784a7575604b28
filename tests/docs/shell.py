"""A shell session of somebody who follows a page, in a home of its own."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.docs.forkserver import write_client
from tests.docs.pages import ROOT

#: After so many seconds a command hangs, on however busy a machine: `store torture` takes minutes of processor time.
LIMIT_S = 1800

PROGRAMS = {
    "datamon": ["-c", "import sys; from sheaf.cli.datamon import main; sys.exit(main())"],
    "python": [],
    "python3": [],
}


class Shell:
    """Runs commands one after the other in one bash, which keeps its folder and variables."""

    def __init__(self, home: Path, more: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=home,
            env={**environment(home), **more},
            umask=0o022,
        )

    def run(self, command: str) -> tuple[str, int]:
        """What a command prints on stdout and stderr, and its exit code."""
        assert self._process.stdin
        mark = secrets.token_hex(8)
        self._process.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n{mark} %d\\n' $?\n".encode())
        self._process.stdin.flush()
        watch = threading.Timer(LIMIT_S, self._process.kill)
        watch.start()
        try:
            return self._until(mark)
        finally:
            watch.cancel()

    def _until(self, mark: str) -> tuple[str, int]:
        assert self._process.stdout
        printed = b""
        for line in self._process.stdout:
            if line.startswith(mark.encode()):
                return printed.decode().removesuffix("\n"), int(line.split()[1])
            printed += line
        raise AssertionError(f"the shell ended or was stopped after {LIMIT_S} s: {printed.decode()}")

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(LIMIT_S)
        self._process.stdout.close()


@contextmanager
def shell(home: Path, more: Mapping[str, str]) -> Iterator[Shell]:
    session = Shell(home, more)
    try:
        yield session
    finally:
        session.close()


def environment(home: Path) -> dict[str, str]:
    """Variables and programs of a user who has nothing but this home."""
    programs = home.parent / "programs"
    programs.mkdir()
    for name, args in PROGRAMS.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *args])} "$@"\n')
        program.chmod(0o755)
    write_client(programs / "sheaf")
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "LOGNAME": "you",
        "USER": "you",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }
