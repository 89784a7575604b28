"""A call of the command line inside the test's process, in surroundings of its own."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.cli.data import make_folder

from sheaf.cli.app import Dialect
from sheaf.cli.run import run
from sheaf.cli.verb_tree import VerbTree
from sheaf.cli.verbs import SHEAF, sheaf
from sheaf.settings.settings import Environment


@dataclass(frozen=True, slots=True)
class Result:
    """What a call left."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def object(self) -> dict[str, Any]:
        """The one JSON object that was printed."""
        (line,) = self.lines
        value: dict[str, Any] = json.loads(line)
        return value

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@dataclass
class Cli:
    """Calls one program; ``home`` is its user's home, ``variables`` its environment."""

    home: Path
    tree: VerbTree
    dialect: Dialect
    variables: dict[str, str] = field(default_factory=dict)

    def __call__(self, *args: object, stdin: str = "", terminal: bool = False, code: int | None = 0) -> Result:
        """Runs; asserts the exit code unless that is None."""
        out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        surroundings = self.surroundings(terminal=terminal)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _stdin(stdin):
            exit_code = run(self.tree, self.dialect, [str(arg) for arg in args], surroundings)
            out.flush()
        raw = out.buffer.getvalue()
        result = Result(exit_code, raw, err.getvalue())
        assert code is None or exit_code == code, f"exit {exit_code}: {result.err or result.out}"
        return result

    def surroundings(self, *, terminal: bool = False, more: Mapping[str, str] | None = None) -> Environment:
        variables = {**self.variables, **(more or {})}
        return Environment(variables, self.home, "tester", stdout_is_terminal=terminal, stderr_is_terminal=False)


@contextlib.contextmanager
def _stdin(text: str) -> Any:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    try:
        yield
    finally:
        sys.stdin = before


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The program ``sheaf`` of a user who has configured nothing."""
    home = tmp_path / "home"
    home.mkdir()
    return Cli(home, sheaf, SHEAF)


@pytest.fixture
def datamon(cli: Cli) -> Cli:
    """The program ``datamon`` of the same user."""
    from sheaf.cli.datamon import DATAMON
    from sheaf.cli.datamon import datamon as tree

    return Cli(cli.home, tree, DATAMON, cli.variables)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data")


@pytest.fixture
def faces(cli: Cli, data: Path) -> str:
    """The id of the one bundle of the repo ``faces``, labelled ``init``."""
    cli("repo", "create", "--repo", "faces", "--description", "Portraits")
    result = cli("bundle", "upload", "--repo", "faces", "--path", data, "--message", "first", "--label", "init")
    return result.lines[0].removeprefix("Uploaded bundle id:")
