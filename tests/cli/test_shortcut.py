"""Short verbs do what the long ones do, with all of their options."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from tests.cli.conftest import Cli
from tests.cli.data import change, tree_of

from sheaf.cli.commands import bundle, label, upload
from sheaf.cli.commands.shortcuts import DOWNLOAD, LABEL, UPLOAD
from sheaf.cli.verb_tree import Verb


@pytest.mark.parametrize(
    ("short", "long", "replaced"),
    [
        (UPLOAD, upload.upload, {"--path", "--repo", "--branch"}),
        (DOWNLOAD, bundle.download, {"--destination", "--repo", "--bundle", "--label", "--branch"}),
        (LABEL, label.set_, {"--repo", "--bundle", "--label"}),
    ],
)
def test_they_have_all_options_but_those_that_the_address_says(short: Verb, long: Verb, replaced: set[str]) -> None:
    mine, its = (
        {name for param in verb.params if isinstance(param, click.Option) for name in param.opts}
        for verb in (short, long)
    )
    assert mine == its - replaced
    assert short.exits == long.exits


def test_up_down_and_a_label(cli: Cli, data: Path, tmp_path: Path) -> None:
    cli("repo", "create", "--repo", "team/faces")
    first = cli("upload", data, "team/faces", "-m", "first", "--label", "init").lines
    id = first[0].removeprefix("Uploaded bundle id:")
    assert first[1] == "set label 'init'"
    assert cli("download", "team/faces@init", tmp_path / "copy").out == f"Using bundle: {id}\n"
    assert tree_of(tmp_path / "copy") == tree_of(data)
    change(data)
    second = cli("upload", data, "team/faces@dev", "-m", "second").lines[0].removeprefix("Uploaded bundle id:")
    assert cli("download", "team/faces", tmp_path / "main").out == f"Using bundle: {id}\n"
    assert cli("download", f"team/faces@{second[:12]}", tmp_path / "dev").out == f"Using bundle: {second}\n"
    assert cli("label", "team/faces@dev", "init").lines == [f"moved label 'init' from {id} to {second}"]
    cli("label", "team/faces@main", "other", "--json")
    assert cli("label", "get", "--repo", "team/faces", "--label", "other").lines[0].split("\t")[1] == id
    assert len(cli("label", "list", "--repo", "team/faces").lines) == 2


def test_what_is_no_place_to_go_is_named(cli: Cli, data: Path, faces: str, tmp_path: Path) -> None:
    for target, word in (
        ("faces:train", "does not accept a path"),
        (f"faces@{faces}", "is not a branch"),
        ("faces@label:init", "is not a branch"),
        ("faces@main~1", "is not a branch"),
    ):
        assert word in cli("upload", data, target, "-m", "m", code=2).err
    assert "sheaf cp -r" in cli("download", "faces@init:train", tmp_path / "x", code=2).err
    assert "whole bundle" in cli("label", "faces@init:train", "x", code=2).err
    cli("upload", data, "faces@init", "-m", "m", code=4)
    cli("download", "nobody", tmp_path / "x", code=3)
    cli("upload", data, "faces", code=2)


def test_a_verb_of_labels_that_is_mistyped_is_no_address(cli: Cli, faces: str) -> None:
    assert "Did you mean 'label list'" in cli("label", "lst", "--repo", "faces", code=2).err
    assert "Commands:" in cli("label", "--help").out


def test_yes_has_one_letter(cli: Cli, faces: str) -> None:
    cli("repo", "delete", "--repo", "faces", "-y")
