"""``branch merge`` and ``bundle revert`` as users of the command line see them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Cli


@pytest.fixture
def diverged(cli: Cli, tmp_path: Path, faces: str) -> str:
    """Branches main and exp of repo faces, which both have a file ``both`` and one of their own."""
    cli("branch", "create", "--repo", "faces", "--branch", "exp")
    for branch in ("main", "exp"):
        for name in (branch, "both"):
            (tmp_path / name).write_text(branch)
            cli("cp", tmp_path / name, f"faces@{branch}:{name}", "-m", f"{name} of {branch}")
    return faces


def merge(cli: Cli, *args: str, code: int = 0):  # type: ignore[no-untyped-def]
    return cli("branch", "merge", "--repo", "faces", "exp", "main", *args, code=code)


def test_conflicts_are_listed_and_exit_with_11(cli: Cli, diverged: str) -> None:
    head = cli("branch", "get", "--repo", "faces", "--branch", "main", "--json").object["bundle"]
    for args in ((), ("--dry-run",)):
        refused = merge(cli, *args, code=11)
        assert refused.lines == ["both-added , both"]
        assert "conflict" in refused.err and "--keep-both" in refused.err
    found = merge(cli, "--json", code=11).object
    assert found["conflicts"] == [{"path": "both", "kind": "both-added", "copy": ""}]
    assert cli("branch", "get", "--repo", "faces", "--branch", "main", "--json").object["bundle"] == head


def test_both_files_are_kept_and_the_log_shows_both_parents(cli: Cli, diverged: str) -> None:
    planned = merge(cli, "--keep-both", "--dry-run")
    assert planned.lines == [
        "both-added , both , kept as both.conflict-exp",
        "would commit a bundle: 2 added, 0 modified, 0 deleted",
    ]
    merged = merge(cli, "--keep-both", "-m", "all")
    assert merged.lines[1].startswith("Uploaded bundle id:")
    assert {"both", "both.conflict-exp", "exp", "main"} <= set(cli("ls", "faces").lines)
    assert any(line.startswith("Merge:   ") for line in cli("log", "faces").lines)
    assert merge(cli).lines == ["nothing to do: branch 'main' would not change"]
    moved = cli("branch", "merge", "--repo", "faces", "main", "exp")
    assert moved.lines[0].endswith("(fast-forward)")


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("exp", "nothing"), 3, "nothing"),
        (("nothing", "main"), 3, "nothing"),
        (("exp",), 2, "TARGET"),
        (("exp", "main", "--ours", "--theirs"), 2, "exclude each other"),
        (("exp", "main", "--ours", "--keep-both"), 2, "exclude each other"),
    ],
)
def test_wrong_arguments_are_refused(cli: Cli, diverged: str, args: tuple[str, ...], code: int, text: str) -> None:
    assert text in cli("branch", "merge", "--repo", "faces", *args, code=code).err


def test_a_revert_keeps_what_came_later(cli: Cli, diverged: str) -> None:
    done = cli("bundle", "revert", "--repo", "faces", "main~1")
    assert done.lines[1] == "0 added, 0 modified, 1 deleted"
    assert "main" not in cli("ls", "faces").lines and "both" in cli("ls", "faces").lines
    assert any('Revert "main of main"' in line for line in cli("log", "faces").lines)
    assert cli("bundle", "revert", "--repo", "faces", "main~2").lines[0].startswith("nothing to do")
    assert "parent" in cli("bundle", "revert", "--repo", "faces", "main", "--mainline", "2", code=2).err
