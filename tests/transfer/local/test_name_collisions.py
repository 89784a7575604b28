from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheaf.transfer.local.name_collisions import ANYWHERE, Clashes, Folding, NameClashes, probe_folding

NFC, NFD = "\u00e9", "e\u0301"
NAMES = st.sets(st.text("aAéÉs-", min_size=1, max_size=3), max_size=8)
FOLDERS = st.dictionaries(st.sampled_from("abc"), NAMES)


def clashes(paths: list[str], folding: Folding = ANYWHERE) -> list[tuple[str, str]]:
    folders = [path.rpartition("/")[0] for path in paths]
    return list(Clashes(folding).find(folders, [path.rpartition("/")[2] for path in paths]))


@pytest.mark.parametrize(("first", "second"), [("A", "a"), (NFC, NFD), ("STRASSE", "straße"), ("É", NFD), ("Σ", "ς")])
def test_names_that_become_one_are_found(first: str, second: str) -> None:
    assert clashes([first, second]) == [(first, second)]
    assert clashes([f"x/{first}", f"x/{second}"]) == [(f"x/{first}", f"x/{second}")]


def test_only_what_the_file_system_does_not_see_counts() -> None:
    assert clashes(["A", "a"], Folding(case=False, form=True)) == []
    assert clashes([NFC, NFD], Folding(case=True, form=False)) == []
    assert clashes(["A", "a", NFC, NFD], Folding(case=False, form=False)) == []


def test_equal_names_in_different_folders_are_apart() -> None:
    assert clashes(["A", "b", "x/a", "y/a"]) == []


def test_state_carries_over_batches() -> None:
    finder = Clashes(ANYWHERE)
    assert list(finder.find(["", "x"], ["a", "A"])) == []
    assert list(finder.find(["x", "y"], ["a", "A"])) == [("x/A", "x/a")]


def test_three_of_a_kind_are_two_clashes() -> None:
    assert clashes(["AB", "Ab", "ab"]) == [("AB", "Ab"), ("AB", "ab")]


def test_the_probe_sees_what_this_file_system_does(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        folding = probe_folding(fd)
    finally:
        os.close(fd)
    (tmp_path / "x").touch()
    (tmp_path / NFC).touch()
    assert folding == Folding(case=(tmp_path / "X").exists(), form=(tmp_path / NFD).exists())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", NFC]


@given(folders=FOLDERS, cut=st.integers(1, 4))
def test_names_in_parts_collide_as_one_by_one(folders: dict[str, set[str]], cut: int) -> None:
    rows = [(folder, name) for folder in sorted(folders) for name in sorted(folders[folder])]
    in_parts = NameClashes(ANYWHERE)
    for folder in sorted(folders):
        names = sorted(folders[folder])
        for start in range(0, len(names), cut):
            in_parts.add(folder, names[start : start + cut])
    assert in_parts.all() == list(Clashes(ANYWHERE).find([f for f, _ in rows], [n for _, n in rows]))
