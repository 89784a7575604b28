"""Few rows of a bundle, read the same way in every program."""

from __future__ import annotations

from pathlib import Path

import pyarrow  # noqa: F401 (loaded, so that nobody could think that there is a start to save)
import pytest

import sheaf
from sheaf.engine.manifest.tree import Tree
from sheaf.errors import NotFound


@pytest.fixture
def bundle(tmp_path: Path) -> sheaf.Bundle:
    """Two files, one of them in a folder."""
    data = tmp_path / "data"
    (data / "train").mkdir(parents=True)
    (data / "train" / "a.txt").write_text("a")
    (data / "b.txt").write_text("bb")
    repo = sheaf.init(str(tmp_path / "store")).create_repo("faces")
    return repo.bundle(repo.upload(data, message="m").bundle.id)


def test_an_entry_and_a_folder_are_read_without_arrow(bundle: sheaf.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("Arrow was asked")

    monkeypatch.setattr(Tree, "find", fail)
    monkeypatch.setattr(Tree, "entries", fail)
    assert bundle.entry("b.txt").size == 2
    assert [entry.path for entry in bundle.ls()] == ["b.txt", "train"]
    assert [entry.path for entry in bundle.ls("train/a.txt")] == ["train/a.txt"]
    assert bundle.entry("").kind == "folder"
    with pytest.raises(NotFound):
        bundle.entry("nothing")


def test_few_rows_and_all_rows_are_alike(bundle: sheaf.Bundle) -> None:
    assert sorted(bundle.ls(recursive=True), key=lambda entry: entry.path) == sorted(
        [*bundle.ls(), *bundle.ls("train")], key=lambda entry: entry.path
    )
