"""What a command says it did, so that whoever mistyped sees it and knows the way back."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from sheaf.errors import Unavailable
from sheaf.storage.folder.backend import FolderBackend


@pytest.fixture
def folder(cli: Cli, tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    cli("repo", "create", "--repo", "faces")
    return made


def _upload(cli: Cli, folder: Path, *more: str) -> list[str]:
    with (folder / "a").open("ab") as file:
        file.write(b"more")
    return cli("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "m", *more).lines


def _id(lines: list[str]) -> str:
    return lines[0].removeprefix("Uploaded bundle id:")


# -- branches that nobody meant to make


def test_an_upload_that_makes_a_branch_says_so(cli: Cli, datamon: Cli, folder: Path) -> None:
    assert len(_upload(cli, folder)) == 1
    assert _upload(cli, folder, "--branch", "mian", "--label", "v1")[1:] == ["set label 'v1'", "created branch 'mian'"]
    assert len(_upload(cli, folder, "--branch", "mian")) == 1
    assert len(_upload(datamon, folder, "--branch", "other")) == 1


def test_a_diamond_that_makes_a_branch_says_so(cli: Cli, folder: Path) -> None:
    _upload(cli, folder)
    (diamond,) = cli("diamond", "initialize", "--repo", "faces").lines
    cli("diamond", "split", "add", "--repo", "faces", "--diamond", diamond, "--path", folder)
    done = cli("diamond", "commit", "--repo", "faces", "--diamond", diamond, "--message", "m", "--branch", "mian")
    assert done.lines[1:] == ["created branch 'mian'"]


# -- the way back


def test_a_label_that_moves_or_goes_is_said_to_have_been_elsewhere(cli: Cli, datamon: Cli, folder: Path) -> None:
    first, second = _id(_upload(cli, folder)), _id(_upload(cli, folder))
    setting = ("label", "set", "--repo", "faces", "--label", "v1", "--bundle")
    assert cli(*setting, first).lines == [f"set label 'v1' to {first}"]
    assert cli(*setting, second).lines == [f"moved label 'v1' from {first} to {second}"]
    assert cli(*setting, second).lines == [f"label 'v1' already points to {second}"]
    assert cli("label", f"faces@{first}", "v1").lines == [f"moved label 'v1' from {second} to {first}"]
    assert cli("label", "faces@main", "v2").lines == [f"set label 'v2' to {second}"]
    assert cli("label", "faces@main", "v2", "--json").object["bundle"] == second
    assert datamon(*setting, first).out == ""
    gone = cli("label", "delete", "--repo", "faces", "--label", "v1")
    assert gone.lines == [f"deleted label 'v1', which pointed to {first}"]
    assert f"`sheaf label set --repo faces --label v1 --bundle {first}`" in gone.err
    cli(*setting, first)
    assert cli("label", "delete", "--repo", "faces", "--label", "v1", "--json").object == {
        "name": "v1",
        "bundle": first,
    }


def test_a_branch_that_goes_is_said_to_have_been_somewhere(cli: Cli, folder: Path) -> None:
    id = _id(_upload(cli, folder, "--branch", "b"))
    gone = cli("branch", "delete", "--repo", "faces", "--branch", "b")
    assert gone.lines == [f"deleted branch 'b', which pointed to {id}"]
    assert f"`sheaf branch create --repo faces --branch b --bundle {id}`" in gone.err
    cli("branch", "create", "--repo", "faces", "--branch", "b", "--bundle", id)
    assert id in cli("branch", "create", "--repo", "faces", "--branch", "b", "--bundle", id, code=4).err


def test_a_deletion_in_a_labels_history_is_called_one(cli: Cli, folder: Path) -> None:
    _upload(cli, folder, "--label", "v1")
    cli("label", "delete", "--repo", "faces", "--label", "v1")
    newest, _ = cli("label", "get", "--repo", "faces", "--label", "v1", "--with-versions").lines
    assert newest.startswith("v1\tdeleted\t2")


def test_a_squash_says_that_what_it_lists_was_kept_and_why(cli: Cli, folder: Path) -> None:
    for label in ("v1", "v2", "v3"):
        _upload(cli, folder, "--label", label)
    _upload(cli, folder, "--branch", "b")
    _upload(cli, folder)
    squash = ("repo", "squash", "--repo", "faces", "--yes")
    kept = cli(*squash, "--keep-last", "1", "--retain-semver-tags")
    assert kept.err.startswith("kept 2 bundles, 1 of them because branches or labels point to it:\ndeleted 3 bundles")
    assert len(kept.lines) == 2
    assert cli(*squash, "--keep-last", "9").err == "kept 2 bundles:\n"


# -- hints that name the next step


def _hint(cli: Cli, *words: object) -> str:
    return cli(*words, code=None).err.splitlines()[-1]


def test_two_folders_are_no_comparison(cli: Cli, folder: Path) -> None:
    assert "`sheaf diff REPO@REF ./x`" in _hint(cli, "diff", "./x", "./x")


def test_a_store_that_is_not_there_is_made_by_the_command_that_is_named(cli: Cli, tmp_path: Path) -> None:
    assert f"`sheaf store init {tmp_path}/none`" in _hint(cli, "ls", "--store", tmp_path / "none").replace(
        "file://", ""
    )


@pytest.mark.parametrize("words", [("cat", "faces@main:no"), ("ls", "faces@main:no"), ("cp", "faces@main:no", "./x")])
def test_a_path_that_is_not_there_leads_to_what_is(cli: Cli, folder: Path, words: tuple[str, ...]) -> None:
    _upload(cli, folder)
    assert _hint(cli, *words) == "hint: see `sheaf ls faces@main`"


def test_a_name_that_is_not_there_leads_to_all_names(cli: Cli, folder: Path) -> None:
    _upload(cli, folder, "--branch", "exp", "--label", "v1")
    hint = _hint(cli, "ls", "faces@nope")
    assert all(f"`sheaf {command}" in hint for command in ("label list", "branch list", "log faces"))
    download = ("bundle", "download", "--repo", "faces", "--destination", folder / "new")
    assert "use the branch of that name: `--branch exp`, or faces@branch:exp" in _hint(cli, *download, "--label", "exp")
    assert "use the label of that name: `--label v1`" in _hint(cli, *download, "--branch", "v1")


@pytest.mark.parametrize(
    ("words", "meant"),
    [(("uplaod",), "upload"), (("bundel", "list"), "bundle"), (("bundle", "donwload"), "bundle download")],
)
def test_a_command_that_is_mistyped_is_answered_with_what_may_be_meant(
    cli: Cli, words: tuple[str, ...], meant: str
) -> None:
    assert f"did you mean '{meant}'" in cli(*words, code=2).err.lower()
    assert "did you mean" not in cli("xyzzy", code=2).err.lower()


# -- what can't be compared


def test_a_diff_leaves_out_what_an_upload_has_left_out(cli: Cli, folder: Path) -> None:
    _upload(cli, folder)
    (folder / "pipe").unlink(missing_ok=True)
    os.mkfifo(folder / "pipe")
    (folder / "new").write_text("new")
    for words in (
        ("diff", "faces@main", folder),
        ("bundle", "diff", "--repo", "faces", "--destination", folder),
    ):
        assert "pipe is a named pipe" in cli(*words, code=2).err
        done = cli(*words, "--skip-on-error", code=11)
        assert done.err.startswith("skipped pipe: pipe is a named pipe")
        assert "\tnew" in done.lines[-1]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take text only")
def test_a_name_that_is_no_text_is_spelled_in_one_way(cli: Cli, folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff")).write_text("x")
    upload = ("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "m")
    refused = cli(*upload, code=2)
    assert r"path 'bad\xff' is not UTF-8" in refused.err
    assert "--skip-on-error" in refused.err
    alone = cli(*upload, "--skip-on-error", code=5).err
    assert r"no files to upload" in alone and r"path 'bad\xff' is not UTF-8" in alone
    (folder / "good").write_text("x")
    assert "skipped bad\\xff: path 'bad\\xff' is not UTF-8\n" in cli(*upload, "--skip-on-error", code=11).err
    assert cli("diff", "faces@main", folder, "--skip-on-error", code=11).out == ""


# -- places that may not be used


def test_a_folder_that_may_not_be_read_is_told_of_by_what_reads_it(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert _upload(cli, folder)

    def locked(path: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", locked)
    refused = cli("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "m", code=9)
    assert "check the owner and the mode" in refused.err


def test_a_configuration_that_may_not_be_written_is_told_of(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", cli.home / ".config")

    monkeypatch.setattr("tempfile.mkstemp", locked)
    assert "hint: check the owner and the mode" in cli("config", "set", "name", "Ada", code=9).err


# -- tables


def test_what_the_cache_holds_is_a_table_on_a_terminal(cli: Cli) -> None:
    assert "objects\t0\t0\tcopies of remote manifests, indexes and logs" in cli("cache", "info").lines
    table = cli("cache", "info", "--table").lines
    assert table[2].split() == ["PART", "FILES", "SIZE", "DESCRIPTION"]


# -- what resumes


def test_a_push_that_loses_the_other_store_says_how_it_resumes(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _upload(cli, folder)
    cli("store", "init", tmp_path / "other")

    def lose(self: FolderBackend, key: str, data: object) -> None:
        raise Unavailable("the other store can't be reached", "check the network")

    push = ("repo", "push", "faces", tmp_path / "other")
    with monkeypatch.context() as patch:
        patch.setattr(FolderBackend, "create", lose)
        lost = cli(*push, code=8)
        assert lost.err.splitlines()[-1] == "hint: check the network; run the same command again to resume"
        assert "resume" not in cli("label", "set", "--repo", "faces", "--label", "l", "--bundle", "main", code=8).err
    assert "copied 1 bundle" in cli(*push).out
