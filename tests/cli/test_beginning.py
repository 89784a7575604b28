"""Where a store comes from: it is made where it is wanted, said so, and never in somebody's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Cli

import sheaf
from sheaf.errors import AlreadyExists, Denied, Refused
from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.memory import MemoryBackend

PLACE = ".local/share/sheaf/store"

READERS = [
    ("store", "check"),
    ("store", "info"),
    ("store", "gc"),
    ("label", "list", "--repo", "faces"),
    ("ls", "faces"),
    ("repo", "undelete"),
]


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_who_reads_makes_no_store_and_is_told_where_there_is_none(cli: Cli, words: tuple[str, ...]) -> None:
    done = cli(*words, code=3)
    assert f"no store exists yet at {cli.home / PLACE}" in done.err
    assert "repo create" in done.err
    assert not (cli.home / ".local").exists()


@pytest.mark.parametrize("words", [("repo", "list"), ("ls",)])
def test_a_fresh_account_has_no_repos(cli: Cli, words: tuple[str, ...]) -> None:
    done = cli(*words)
    assert done.out == ""
    assert f"no store exists yet at {cli.home / PLACE}" in done.err
    assert not (cli.home / ".local").exists()


def test_the_first_repo_makes_the_store_and_says_where(cli: Cli) -> None:
    assert cli("repo", "create", "--repo", "faces").err == f"created a store at {cli.home / PLACE}\n"
    assert cli("repo", "create", "--repo", "others").err == ""
    assert len(cli("repo", "list").lines) == 2


def test_a_store_that_was_named_is_not_made(cli: Cli, tmp_path: Path) -> None:
    assert "there is no store at" in cli("repo", "create", "--repo", "a", "--store", tmp_path / "none", code=3).err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["a.txt", "with spaces.txt", "folder", ".git"])
@pytest.mark.parametrize("probe", [True, False])
def test_a_folder_that_has_something_in_it_is_refused_and_left_as_it_is(tmp_path: Path, name: str, probe: bool) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(Refused, match=f"is not empty: it contains '{name}'"):
        sheaf.init(str(tmp_path), probe=probe)
    with pytest.raises(Refused):
        sheaf.connect(str(tmp_path), create=True)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_prefix_that_has_something_in_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = MemoryBackend()
    backend.create("photos/one", b"1")
    monkeypatch.setattr("sheaf.repo.connect.open_backend", lambda url, options: backend)
    with pytest.raises(Refused, match="photos/one"):
        sheaf.init("memory://x")


def test_a_probe_leaves_nothing_and_what_file_systems_leave_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    FolderBackend(tmp_path).create("probe/stopped/x", b"")  # as a probe that was killed
    sheaf.init(str(tmp_path)).close()
    with pytest.raises(AlreadyExists):
        sheaf.init(str(tmp_path))
    sheaf.init(str(tmp_path.with_name("clean"))).close()
    assert {entry.name for entry in tmp_path.with_name("clean").iterdir()} == {"sheaf.json", "tmp"}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="takes a file system that makes no folders")
def test_a_place_where_no_folder_can_be_made_is_named() -> None:
    with pytest.raises(Denied, match="can't create the folder /proc/nowhere"):
        sheaf.init("/proc/nowhere/store")


# -- configuration -----------------------------------------------------------------------------------------------------


def test_paths_are_kept_whole(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for key, value in {"store": "./s2", "cache": "c", "credential": "key.json"}.items():
        cli("config", "set", key, value)
        assert cli("config", "get", key).lines == [str(tmp_path / value)]
    cli("config", "set", "store", "s3://bucket/sheaf")
    assert cli("config", "get", "store").lines == ["s3://bucket/sheaf"]
    cli("context", "create", "dev", "--store", "there")
    assert str(tmp_path / "there") in cli("context", "get", "dev").out


WRONG = {"retries": "abc", "limit_rate": "fast", "durability": "some", "store": "what://", "context": "none"}


@pytest.mark.parametrize(("key", "value"), WRONG.items())
def test_a_value_that_makes_no_sense_is_refused_when_it_is_set(cli: Cli, key: str, value: str) -> None:
    done = cli("config", "set", key, value, code=None)
    assert done.code in (2, 3)
    assert value in done.err
    assert not (cli.home / ".config/sheaf/config.yaml").exists()


def test_keys_are_taken_out_again_even_those_that_break_everything(cli: Cli) -> None:
    path = cli.home / ".config/sheaf/config.yaml"
    cli("config", "set", "name", "Ada")
    path.write_text(path.read_text() + "retries: abc\ntypo: 1\n")
    cli("config", "get", code=2)
    for key in ("retries", "typo"):
        cli("config", "unset", key)
    assert "name: Ada" in cli("config", "get").out
    assert "is not set in" in cli("config", "unset", "retries", code=3).err
    assert "unknown key" in cli("config", "unset", "typo", code=2).err


# -- messages ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(cli: Cli, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    cli("repo", "create", "--repo", "faces")
    return folder


def _upload(cli: Cli, data: Path, *more: str) -> list[str]:
    with (data / "a").open("ab") as file:
        file.write(b"more")
    return cli("bundle", "upload", "--repo", "faces", "--path", data, "--message", "m", *more).lines


def test_a_label_that_was_elsewhere_is_said_to_have_moved(cli: Cli, datamon: Cli, data: Path) -> None:
    first, said = _upload(cli, data, "--label", "v1")
    assert said == "set label 'v1'"
    second, said = _upload(cli, data, "--label", "v1", "--move-label")
    assert said == f"moved label 'v1' from {first.partition(':')[2]}"
    same = cli("bundle", "upload", "--repo", "faces", "--path", data, "--message", "m", "--if-changed", "--label", "v1")
    assert same.lines == [second.replace("Uploaded", "Unchanged"), "set label 'v1'"]
    assert _upload(datamon, data, "--label", "v1")[1] == "set label 'v1'"


def test_how_far_a_history_goes_back_is_said_in_the_words_that_were_typed(cli: Cli, data: Path) -> None:
    for _ in range(2):
        _upload(cli, data)
    cli("repo", "squash", "--repo", "faces", "--yes")
    assert "'main~99' goes back further than the history of faces: bundle " in cli("ls", "faces@main~99", code=3).err


def test_a_filter_that_matches_nothing_is_warned_of(cli: Cli, data: Path, tmp_path: Path) -> None:
    _upload(cli, data)
    words = ("bundle", "download", "--repo", "faces", "--destination", tmp_path / "out", "--name-filter", "zzz")
    assert "no path in the bundle matches 'zzz'" in cli(*words).err


def test_a_folder_that_no_mount_has_left_is_answered_with_where_they_leave_theirs(cli: Cli, data: Path) -> None:
    refused = cli("bundle", "commit", data / "nothere", code=3)
    assert f"below {cli.home / '.local/share/sheaf/mounts'}" in refused.err
