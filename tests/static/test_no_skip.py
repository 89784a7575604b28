"""Where nothing may be skipped, a test that is skipped has failed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TESTS = """
import pytest

def test_called():
    pytest.skip("node is not installed")

@pytest.mark.skipif(True, reason="node is not installed")
def test_marked(): ...

@pytest.fixture
def server():
    pytest.skip("node is not installed")

def test_set_up(server): ...

@pytest.mark.skipif(True, reason="root may read everything")
def test_of_rights(): ...

def test_that_passes(): ...
"""


@pytest.mark.parametrize(
    ("variables", "outcome"),
    [({}, "1 passed, 4 skipped"), ({"SHEAF_CI_NO_SKIP": "1"}, "1 failed, 1 passed, 1 skipped, 2 errors")],
)
def test_a_skipped_test_fails_if_told_to(tmp_path: Path, variables: dict[str, str], outcome: str) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHEAF_CI", "PYTEST_"))}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.conftest",
        "-c",
        os.devnull,
        str(tmp_path / "test_some.py"),
    ]
    done = subprocess.run(command, cwd=ROOT, env={**kept, **variables}, capture_output=True, text=True, check=False)
    assert re.search(outcome, done.stdout), done.stdout + done.stderr


def test_a_skipped_module_fails_if_told_to(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text("import pytest\npytest.importorskip('no_such_library')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-c", os.devnull, str(tmp_path)]
    variables = {**os.environ, "SHEAF_CI_NO_SKIP": "1"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode and "no_such_library" in done.stdout, done.stdout + done.stderr
