"""What commands about a whole store say: true, in a user's words, and only where somebody reads it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.repair.test_commands import largest, spoil

from sheaf.engine.core import Core, open_store
from sheaf.engine.sessions.sessions import open_store_session
from sheaf.storage.open import open_backend
from sheaf.storage.storage_options import StorageOptions


@pytest.fixture
def store(cli: Cli, faces: str) -> Path:
    (config,) = cli.home.rglob("sheaf.json")
    return config.parent


def test_a_size_below_a_kibibyte_is_shown_once(cli: Cli, tmp_path: Path) -> None:
    url = str(tmp_path / "empty")
    cli("--store", url, "store", "init")
    size = (tmp_path / "empty/sheaf.json").stat().st_size
    assert f"stored:         {size} B" in cli("--store", url, "store", "info").lines


def test_without_read_data_it_is_said_that_packs_were_not_read(cli: Cli, store: Path) -> None:
    spoil(largest(store, "packs"), 100)
    for command in ("check", "repair"):
        assert "note: pack data was not read; add --read-data to verify it\n" in cli("store", command).err
        assert cli("store", command, "--json").err == ""
    for command in ("check", "repair"):
        assert "not read" not in cli("store", command, "--read-data", code=6).err
        assert cli("store", command, "--read-data", "--json", code=6).err == ""
    assert cli("store", "check", "--json", code=6).err == ""  # the pack is noted now, and such packs are read


def test_what_is_quarantined_is_not_called_kept(cli: Cli, store: Path) -> None:
    spoil(largest(store, "packs"), 100)
    said = cli("store", "repair", "--read-data", "--quarantine", "--yes", code=None)
    assert "1 bundle quarantined" in said.out and "no data is lost" not in said.err
    again = cli("store", "check", "--read-data", code=None)
    assert "no data is lost" not in again.err
    if again.code:
        assert "1 bundle is quarantined because of missing data" in again.err


def test_of_a_damaged_record_the_repo_is_named_and_what_helps(cli: Cli, store: Path) -> None:
    (record,) = sorted((store / "repos").rglob("*.json"))[:1]
    spoil(record, 20)
    said = cli("store", "check", code=6)
    (line,) = (line for line in said.lines if line.startswith("damaged\tlog"))
    assert line.count("repos/") == 1
    assert "  in the log of repo faces" in said.lines
    assert (
        "`sheaf store repair --from-replica=URL`" in said.err and "repos other than faces are not affected" in said.err
    )
    assert cli("store", "check", "--json", code=6).object["problems"][0]["repo"] == "faces"


def test_where_nobody_sits_nothing_is_asked(cli: Cli, faces: str) -> None:
    args = ("repo", "delete", "--repo", "faces")
    said = json.loads(cli(*args, "--json", code=5).err)
    assert "faces" in said["message"] and "--yes" in said["hint"]
    plain = cli(*args, code=5).err.splitlines()
    assert plain[0].startswith("error: confirmation required: ") and len(plain) == 2
    assert cli(*args, code=5, stdin="n\n").err.splitlines()[1] == "error: user aborted"
    assert "[y/N]" not in cli(*args, "--json", stdin="y\n").err


def test_a_bundle_that_is_named_is_refused_before_anything_is_asked(cli: Cli, faces: str) -> None:
    refused = cli("bundle", "delete", "--repo", "faces", "--bundle", faces, stdin="y\n", code=4)
    assert "[y/N]" not in refused.err and "init" in refused.err


def test_without_the_library_an_encrypted_store_leaves_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    said = cli("store", "init", tmp_path / "x", "--encrypt", "--key-file", tmp_path / "k", code=None)
    assert said.code and "cryptography" in said.err
    assert not (tmp_path / "x").exists() and not (tmp_path / "k").exists()


def test_the_key_that_opened_a_store_is_not_removed_without_a_question(cli: Cli, tmp_path: Path) -> None:
    at = ("--store", tmp_path / "x", "--key-file", tmp_path / "k")
    cli("store", "init", tmp_path / "x", "--encrypt", "--key-file", tmp_path / "k")
    cli("store", "key", "add", "--new-key-file", tmp_path / "other", *at)
    ids = [line.split("\t")[0] for line in cli("store", "key", "list", *at).lines]
    assert "which you are using now" in cli("store", "key", "remove", ids[0], *at, code=5).err
    assert f"removed: {ids[0]}" in cli("store", "key", "remove", ids[0], "--yes", *at).out
    cli("store", "key", "add", "--new-key-file", tmp_path / "k", *at[:2], "--key-file", tmp_path / "other")
    assert f"removed: {ids[1]}" in cli("store", "key", "remove", ids[1], *at).out, "another one goes at once"


def test_a_forgotten_diamond_is_listed_and_gc_says_what_ends_it(cli: Cli, faces: str) -> None:
    diamond = cli("diamond", "initialize", "--repo", "faces").lines[0]
    assert f"open diamond:   {diamond} of faces, started " in cli("store", "info").out
    (listed,) = cli("store", "info", "--json").object["open_diamonds"]
    assert (listed["repo"], listed["id"]) == ("faces", diamond)
    cli("bundle", "upload", "--repo", "faces", "--path", cli.home, "--message", "garbage", "--branch", "b")
    cli("branch", "delete", "--repo", "faces", "--branch", "b")
    gone = cli("bundle", "list", "--repo", "faces", "--json").objects[-1]["id"]
    cli("bundle", "delete", "--repo", "faces", "--bundle", gone, "--yes", code=None)
    left = cli("store", "gc", "--no-wait", code=11).err
    command = f"sheaf diamond cancel --repo faces --diamond {diamond}"
    assert f"run `{command}` to cancel that diamond" in left
    cli(*command.split()[1:])
    assert "open diamond" not in cli("store", "info").out
    cli("store", "gc", "--no-wait")


def test_gc_says_how_long_it_waits_for_whom_and_what_else_there_is(cli: Cli, store: Path, faces: str) -> None:
    cli("repo", "delete", "--repo", "faces", "--yes")
    backend = open_backend(str(store), StorageOptions())
    core = Core(backend, open_store(backend))
    session = open_store_session(core, "upload").session
    core.close()
    would = cli("store", "gc", "--dry-run")
    assert f"would wait for upload {session.id}" in would.err and "at most 60 minutes" in would.err
    assert cli("--json", "store", "gc", "--dry-run").object["waits_for"][0]["id"] == session.id
    left = cli("store", "gc", "--no-wait", code=11).err
    assert "waiting for" not in left and "generation" not in left and session.id in left and "again later" in left
    waited = cli("store", "gc", "--grace", "0.2").err
    assert "at most 0.2 seconds; pass --no-wait to leave" in waited and "--grace 0" in waited
