"""What is said to who reads an old primary, which was away while a replica was promoted."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture
from tests.replicas.builders import build

TOLD = "was promoted to primary"


@pytest.fixture
def left(cli: Cli, tmp_path: Path) -> Path:  # noqa: F811
    """An old primary that has come back; its replica was promoted, written to, and is away now."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("old")
    cli("store", "init", tmp_path / "p")
    at_p, at_q = ("--store", tmp_path / "p"), ("--store", tmp_path / "q")
    cli("repo", "create", "--repo", "z", *at_p)
    cli("bundle", "upload", "--repo", "z", "--path", tmp_path / "in", "--message", "m", "--label", "prod", *at_p)
    cli("store", "replica", "add", tmp_path / "q", *at_p)
    (tmp_path / "p").rename(tmp_path / "away")
    cli("store", "promote", tmp_path / "q")
    (tmp_path / "in" / "a").write_text("new")
    cli(
        "bundle",
        "upload",
        "--repo",
        "z",
        "--path",
        tmp_path / "in",
        "--message",
        "n",
        "--label",
        "prod",
        "--move-label",
        *at_q,
    )
    (tmp_path / "away").rename(tmp_path / "p")
    return tmp_path / "p"


def test_every_reading_command_says_so_once(cli: Cli, left: Path, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    out = left.parent / "out"
    for args in (
        ("cat", "z@prod:a"),
        ("bundle", "download", "--repo", "z", "--label", "prod", "--destination", out),
        ("store", "info"),
        ("store", "check"),
    ):
        caplog.clear()
        cli(*args, "--store", left)
        assert caplog.text.count(TOLD) == 1 and "/q was promoted" in caplog.text and "--store" in caplog.text
    caplog.clear()
    cli("cat", "z@prod:a", "--store", left.parent / "q")
    assert TOLD not in caplog.text


def test_nothing_is_said_of_a_primary_whose_replica_is_away_or_in_step(
    cli: Cli,  # noqa: F811
    left: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (left.parent / "q").rename(left.parent / "gone")
    cli("store", "check", "--store", left)
    assert TOLD not in caplog.text


def test_what_lists_the_store_asks_replicas_far_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = build(tmp_path, "mem:b", "mem:c", policy="primary")
    world.places["mem:a"].is_cut = True
    with world.process("mem:b") as store:
        store.replicas.promote()
    world.places["mem:a"].is_cut = False
    del world.places["mem:b"]
    with world.process() as store:
        assert TOLD not in caplog.text
        store.info()
        assert f"mem:b {TOLD}" in caplog.text, "a replica of both knows which one it is"
        store.check()
    assert caplog.text.count(TOLD) == 1
