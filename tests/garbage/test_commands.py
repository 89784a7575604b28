"""`sheaf store gc`, and what makes garbage and brings it back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture


@pytest.fixture
def bundles(cli: Cli, tmp_path: Path) -> list[str]:  # noqa: F811
    cli("repo", "create", "--repo", "faces")
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(4):
        (folder / "data").write_bytes(bytes([n]) * 50_000 + bytes(range(256)) * (n + 1))
        label = ["--label", "v1.0.0"] if n == 1 else []
        cli("bundle", "upload", "--repo", "faces", "--path", folder, "--message", f"m{n}", *label)
    return [line.split("\t")[0] for line in cli("bundle", "list", "--repo", "faces").lines]


def listed(cli: Cli) -> list[str]:  # noqa: F811
    return [line.split("\t")[0] for line in cli("bundle", "list", "--repo", "faces").lines]


def test_a_bundle_goes_comes_back_and_goes_for_good(cli: Cli, bundles: list[str]) -> None:  # noqa: F811
    first = bundles[0]
    asked = cli("bundle", "delete", "--repo", "faces", "--bundle", first, stdin="n\n", code=5)
    assert first in asked.err
    gone = cli("bundle", "delete", "--repo", "faces", "--bundle", first, "--yes")
    assert "undelete" in gone.err
    assert listed(cli) == bundles[1:]
    assert cli("bundle", "undelete", "--repo", "faces").lines[0].startswith(f"{first}\t")
    cli("bundle", "undelete", "--repo", "faces", "--bundle", first)
    assert sorted(listed(cli)) == sorted(bundles)
    cli("bundle", "delete", "--repo", "faces", "--bundle", first, "--yes")
    would = json.loads(cli("--json", "store", "gc", "--dry-run").out)
    assert would["packs"] == 1
    done = json.loads(cli("--json", "store", "gc").out)
    assert (done["packs"], done["bytes"]) == (1, would["bytes"])
    refused = cli("bundle", "undelete", "--repo", "faces", "--bundle", first, code=5)
    assert "gc" in refused.err
    assert "no damage found" in cli("store", "check", "--read-data").out
    assert "damage" not in cli("store", "check").out.replace("no damage found", "")  # what gc has deleted is none


def test_what_a_label_or_branch_names_is_not_deleted(cli: Cli, bundles: list[str]) -> None:  # noqa: F811
    for ref, name in (("v1.0.0", "v1.0.0"), ("main", "main")):
        refused = cli("bundle", "delete", "--repo", "faces", "--bundle", ref, "--yes", code=4)
        assert name in refused.err
    assert listed(cli) == bundles


def test_squash_retains_what_it_is_told_to(cli: Cli, bundles: list[str]) -> None:  # noqa: F811
    cli("repo", "squash", "--repo", "faces", "--keep-last", "2", "--retain-semver-tags", "--yes")
    assert listed(cli) == bundles[1:]
    left = cli("repo", "squash", "--repo", "faces", "--yes").lines
    assert [line.split("\t")[0] for line in left] == [bundles[3]]
    assert cli("label", "list", "--repo", "faces").lines == []
    cli("store", "gc")
    cli("bundle", "verify", "--repo", "faces")


def test_a_repo_goes_and_comes_back(cli: Cli, bundles: list[str]) -> None:  # noqa: F811
    gone = cli("repo", "delete", "--repo", "faces", "--yes")
    assert "note: run `sheaf repo undelete --repo " in gone.err
    assert cli("repo", "list").lines == []
    assert cli("repo", "undelete").lines[0].startswith("faces\t")
    cli("repo", "undelete", "--repo", "faces", "--as", "portraits")
    assert cli("bundle", "list", "--repo", "portraits").lines[0].startswith(bundles[0])
    cli("repo", "delete", "--repo", "portraits", "--yes")
    kept = cli("store", "gc", "--keep-deleted", "7d")
    assert kept.lines[0] == "freed 0 B"
    would, done = cli("store", "gc", "--dry-run").lines, cli("store", "gc").lines
    assert would[1].startswith("could no longer be restored: repo portraits (") and would[1].endswith(", 4 bundles)")
    assert done[1] == would[1].replace("could", "can", 1)
    assert "no damage found" in cli("store", "check", "--read-data").out
    assert cli("repo", "undelete", "--repo", "portraits", code=5).err


@pytest.mark.parametrize("wrong", ["", "soon", "7x", "-1d", "9" * 400])
def test_a_span_that_is_none_is_refused(cli: Cli, bundles: list[str], wrong: str) -> None:  # noqa: F811
    assert "is not a duration" in cli("store", "gc", f"--keep-deleted={wrong}", code=2).err


def test_more_than_a_few_are_counted(cli: Cli, bundles: list[str], tmp_path: Path) -> None:  # noqa: F811
    for n in range(4):
        cli("bundle", "upload", "--repo", "faces", "--path", tmp_path / "in", "--message", "again")
        (tmp_path / "in" / f"more {n}").write_bytes(b"more")
    cli("repo", "squash", "--repo", "faces", "--yes")
    done = json.loads(cli("--json", "store", "gc", "--dry-run").out)
    assert len(done["lost"]) > 5
    assert done["lost"][0] == {"repo": "faces", "repo_id": done["lost"][0]["repo_id"], "bundle": bundles[0]}
    assert cli("store", "gc").lines[1].endswith(f" and {len(done['lost']) - 5} more")


# -- labels ------------------------------------------------------------------------------------------------------------


def test_a_squash_names_the_labels_that_go_and_undelete_brings_them_back(cli: Cli, bundles: list[str]) -> None:  # noqa: F811
    for name, at in (("old", 0), ("older", 0), ("newest", 3)):
        cli("label", "set", "--repo", "faces", "--label", name, "--bundle", bundles[at])
    asked = cli("repo", "squash", "--repo", "faces", stdin="n\n", code=5)
    assert "which deletes 3 bundles and labels old, older, v1.0.0? [y/N]" in asked.err
    gone = cli("repo", "squash", "--repo", "faces", "--yes")
    assert "deleted 3 bundles and labels old, older, v1.0.0\n" in gone.err
    assert "note: run `sheaf bundle undelete --repo faces`" in gone.err
    cli("label", "set", "--repo", "faces", "--label", "old", "--bundle", bundles[3])
    cli("branch", "create", "--repo", "faces", "--branch", "older")
    back = cli("bundle", "undelete", "--repo", "faces", "--bundle", bundles[0])
    assert f"note: label 'old' was not restored: it points to bundle {bundles[3]} now" in back.err
    assert "note: label 'older' was not restored: a branch" in back.err
    assert "note: restored label 'v1.0.0'" in cli("bundle", "undelete", "--repo", "faces", "--bundle", bundles[1]).err
    assert bundles[1] in cli("label", "get", "--repo", "faces", "--label", "v1.0.0").out
    assert "label" not in cli("bundle", "undelete", "--repo", "faces", "--bundle", bundles[2]).err


def test_labels_that_were_deleted_before_stay_away(cli: Cli, bundles: list[str]) -> None:  # noqa: F811
    cli("label", "delete", "--repo", "faces", "--label", "v1.0.0")
    for _ in range(2):
        cli("repo", "squash", "--repo", "faces", "--yes")
        assert "label" not in cli("bundle", "undelete", "--repo", "faces", "--bundle", bundles[1]).err
    assert cli("label", "list", "--repo", "faces").lines == []


def test_the_prompt_for_a_repo_says_what_it_has(cli: Cli, bundles: list[str]) -> None:  # noqa: F811
    assert "with 4 bundles and label v1.0.0? [y/N]" in cli("repo", "delete", "--repo", "faces", stdin="n\n", code=5).err


# -- finding what was deleted ------------------------------------------------------------------------------------------


def test_repos_of_one_name_are_told_apart(cli: Cli, bundles: list[str], tmp_path: Path) -> None:  # noqa: F811
    cli("repo", "delete", "--repo", "faces", "--yes")
    first = cli("repo", "undelete").lines[0].split("\t")
    assert (first[0], first[3]) == ("faces", "4")
    cli("repo", "create", "--repo", "faces")
    assert "--as NAME" in cli("repo", "undelete", "--repo", "faces", code=4).err
    cli("bundle", "upload", "--repo", "faces", "--path", tmp_path / "in", "--message", "another")
    cli("repo", "delete", "--repo", "faces", "--yes")
    ids = [line.split("\t")[1] for line in cli("repo", "undelete").lines]
    refused = cli("repo", "undelete", "--repo", "faces", code=5)
    assert all(f"{id} (deleted 20" in refused.err for id in ids)
    cli("repo", "undelete", "--repo", ids[0])


def test_what_gc_has_taken_is_left_out_and_counted(cli: Cli, bundles: list[str]) -> None:  # noqa: F811
    cli("bundle", "delete", "--repo", "faces", "--bundle", bundles[0], "--yes")
    cli("store", "gc")
    cli("bundle", "delete", "--repo", "faces", "--bundle", bundles[2], "--yes")
    listed = cli("bundle", "undelete", "--repo", "faces")
    assert [line.split("\t")[0] for line in listed.lines] == [bundles[2]]
    assert "note: 1 more bundle can't be restored" in listed.err
    cli("repo", "delete", "--repo", "faces", "--yes")
    cli("store", "gc")
    cli("repo", "create", "--repo", "faces")
    cli("repo", "delete", "--repo", "faces", "--yes")
    assert "note: 1 more repo can't be restored" in cli("repo", "undelete").err
    cli("repo", "undelete", "--repo", "faces")  # the one that can be is meant


def test_a_bundle_that_was_not_deleted_has_a_hint_that_exists(cli: Cli, bundles: list[str]) -> None:  # noqa: F811
    refused = cli("bundle", "undelete", "--repo", "faces", "--bundle", "nope", code=3)
    assert "see `sheaf bundle undelete --repo faces`" in refused.err
