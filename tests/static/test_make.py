"""`make test` says what it is doing, in steps that are numbered."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def shown(*goals: str) -> str:
    """What make would run if nothing had been made."""
    command = ["make", "--dry-run", "--always-make", *goals]
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("goal", ["test", "test-parts", "test-slow"])
def test_every_step_of_the_set_up_is_said_in_order(goal: str) -> None:
    said = [int(n) for n in re.findall(r"\[(\d)/5\]", shown(goal))]
    assert sorted(set(said)) == [1, 2, 3, 4, 5]
    assert said == sorted(said)


def test_skips_say_why_and_failures_one_line_each() -> None:
    last = shown("test").splitlines()[-1]
    assert "-rfEs" in last
    assert "--force-short-summary" in last


def test_the_tiers_are_one_another_s_rest() -> None:
    chosen = {goal: re.findall(r' -m "(.*)"', shown(goal))[-1:] for goal in ("test", "test-parts", "test-slow")}
    assert chosen == {"test": ["not slow and not parts"], "test-parts": ["parts and not slow"], "test-slow": []}


def test_other_goals_have_other_steps() -> None:
    assert "/5]" not in shown("quickstart")


def test_installing_says_how_far_it_is(tmp_path: Path) -> None:
    pins = tmp_path / "pins.txt"
    pins.write_text("one==1\ntwo==2\nthree==3\n")
    pip = tmp_path / "python"
    lines = [
        "Collecting one",
        "  Downloading one-1.whl.metadata (1 kB)",
        "  Downloading one-1.whl (9 MB)",
        "Collecting two",
        "  Using cached two-2.whl (1 kB)",
        "Collecting three",
        "  Downloading three-3.tar.gz (2 MB)",
        "Building wheel for three (pyproject.toml): started",
        "Installing collected packages: one, two, three",
    ]
    printed = "".join(f"echo '{line}'\n" for line in lines)
    pip.write_text(f'#!/bin/sh\n{printed}exit "$PIP_EXIT"\n')
    pip.chmod(0o755)

    def run(code: str) -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / "scripts/install.sh"), str(pip), "[2/6] Installing", "--require-hashes", "-r", str(pins)]
        variables = {**os.environ, "PIP_EXIT": code}
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    done = run("0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[2/6] Installing: 3 packages",
        "  1 of 3: Downloading one-1.whl (9 MB)",
        "  3 of 3: Downloading three-3.tar.gz (2 MB)",
        "  Building wheel for three (pyproject.toml): started",
        "  installing what was collected",
    ]
    assert run("7").returncode == 7
