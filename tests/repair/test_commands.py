"""`sheaf store repair`, and how damage looks to whoever uses the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture


@pytest.fixture
def store(cli: Cli, tmp_path: Path) -> Path:  # noqa: F811
    """The store's folder: two bundles, a replica."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a").write_bytes(b"small")
    cli("store", "init", tmp_path / "store")
    cli("config", "set", "store", str(tmp_path / "store"))
    cli("repo", "create", "--repo", "faces")
    cli("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "first", "--label", "v1")
    (folder / "b").write_bytes(os.urandom(100_000))
    cli("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "second", "--label", "v2")
    cli("store", "replica", "add", tmp_path / "vault")
    return tmp_path / "store"


def largest(store: Path, kind: str) -> Path:
    return max((path for path in (store / kind).rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def spoil(path: Path, at: int = 5000) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_a_sound_store_has_nothing_to_repair(cli: Cli, store: Path) -> None:  # noqa: F811
    assert "no damage found" in cli("store", "repair").lines
    for option in ("--from-replica", "--index", "--pages", "--quarantine"):
        assert "no damage found" in cli("store", "repair", option).lines


def test_without_options_it_says_what_there_is_to_do(cli: Cli, store: Path) -> None:  # noqa: F811
    spoil(largest(store, "packs"))
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    for command in ("check", "repair"):
        said = cli("store", command, "--read-data", code=6)
        assert "`sheaf store repair --from-replica --read-data`" in said.err
        assert "`sheaf store repair --quarantine --read-data`" in said.err
    after = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    assert {path: data for path, data in after.items() if store / "damaged" not in path.parents} == before
    (problem,) = cli("--json", "store", "repair", "--read-data", code=6).object["left"]
    assert problem["repair"] == ["from-replica", "quarantine"]


def test_from_a_replica(cli: Cli, store: Path, tmp_path: Path) -> None:  # noqa: F811
    spoil(largest(store, "packs"))
    largest(store, "nodes").unlink()
    would = cli("store", "repair", "--from-replica", "--read-data", "--dry-run", code=6)
    assert "would be fetched" in would.lines[0]
    done = cli("--json", "store", "repair", "--from-replica", "--read-data", "--keep", tmp_path / "kept").object
    assert done["ok"] and len(done["fetched"]) == 2 and done["found"]
    assert len([path for path in (tmp_path / "kept").rglob("*") if path.is_file()]) == 1
    cli("store", "check", "--read-data")


@pytest.mark.parametrize("lost", ["log", "sheaf.json", "repos"])
def test_what_can_not_be_opened_any_more(cli: Cli, store: Path, tmp_path: Path, lost: str) -> None:  # noqa: F811
    target = store / lost
    for path in [target] if target.is_file() else [path for path in target.rglob("*.json") if path.is_file()]:
        path.write_bytes(b"")
    assert cli("bundle", "list", "--repo", "faces", code=None).code in (3, 6, 8)
    cli("store", "repair", f"--from-replica={tmp_path / 'vault'}")
    cli("store", "check", "--read-data")
    assert len(cli("bundle", "list", "--repo", "faces").lines) == 2


@pytest.mark.parametrize("damage", ["lost", "damaged"])
def test_without_its_first_object_it_is_said_that_there_is_a_store_and_how_to_mend_it(
    cli: Cli,  # noqa: F811
    store: Path,
    tmp_path: Path,
    damage: str,
) -> None:
    cli("store", "replica", "remove", tmp_path / "vault")
    cli("repo", "list")  # what this user remembers of the replicas
    (store / "sheaf.json").chmod(0o600)
    (store / "sheaf.json").write_bytes(b"{}")
    if damage == "lost":
        (store / "sheaf.json").unlink()
    for args in (("cat", "faces@v1:a"), ("store", "info"), ("store", "repair")):
        told = cli(*args, code=None)
        assert told.code in (3, 6) and "sheaf.json" in told.err and str(store) in told.err
        assert "`sheaf store repair --from-replica=URL`" in told.err and "store init" not in told.err
    cli("store", "repair", f"--from-replica={tmp_path / 'vault'}")
    assert cli("cat", "faces@v1:a").raw == b"small"


def test_the_store_in_the_own_data_folder_is_not_called_absent_either(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    cli("repo", "create", "--repo", "faces")
    (config,) = cli.home.rglob("sheaf.json")
    config.unlink()
    for args in (("repo", "list"), ("repo", "create", "--repo", "more")):
        assert "sheaf.json is missing" in cli(*args, code=3).err


def test_the_index(cli: Cli, store: Path) -> None:  # noqa: F811
    spoil(largest(store, "index"), 90)
    said = cli("store", "check", code=7)
    assert "`sheaf store repair --index`" in said.err and "no data is lost" in said.err
    assert "indexed in 1 object, " in cli("store", "repair", "--index").lines[0]
    cli("store", "check")


def test_quarantine_and_back(cli: Cli, store: Path, tmp_path: Path) -> None:  # noqa: F811
    pack = largest(store, "packs")
    whole = pack.read_bytes()
    spoil(pack)
    refused = cli("store", "repair", "--quarantine", "--read-data", stdin="n\n", code=5)
    assert "Quarantine 1 bundle? " in refused.err and "'b': " in refused.err
    cli("store", "repair", "--quarantine", "--index", "--read-data", "--yes")
    cli("store", "check", "--read-data")
    told = cli("cat", "faces@v2:a", code=6)
    assert "is quarantined" in told.err and "bundle undelete" in told.err
    id = told.err.split()[2]
    assert cli("cat", f"faces@{id}:a").raw == b"small"
    assert cli("bundle", "list", "--repo", "faces").lines[-1].count("quarantined: 'b'") == 1
    assert [line.endswith("quarantined") for line in cli("label", "list", "--repo", "faces").lines] == [False, True]
    assert json.loads(cli("--json", "branch", "list", "--repo", "faces").out)["quarantined"]
    cli("bundle", "undelete", "--repo", "faces", "--bundle", id, code=5)
    pack.chmod(0o600)
    pack.write_bytes(whole)
    assert cli("bundle", "undelete", "--repo", "faces").lines[0].startswith(id)
    cli("bundle", "undelete", "--repo", "faces", "--bundle", id)
    assert cli("cat", "faces@v2:a").raw == b"small"


def test_mistakes_get_one_line(cli: Cli, store: Path, tmp_path: Path) -> None:  # noqa: F811
    cli("store", "replica", "remove", tmp_path / "vault")
    assert "--from-replica=URL" in cli("store", "repair", "--from-replica", code=3).err
    assert "can't read any replica" in cli("store", "repair", f"--from-replica={tmp_path / 'nowhere'}", code=8).err
    cli("store", "init", tmp_path / "foreign")
    assert "another store" in cli("store", "repair", f"--from-replica={tmp_path / 'foreign'}", code=2).err
    assert "no store" in cli("store", "repair", "--store", tmp_path / "in", "--index", code=3).err
