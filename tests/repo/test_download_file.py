"""One file of a bundle as a local file: whole or not at all, and never in the place of another unasked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import sheaf
from sheaf.errors import Corrupt, InvalidInput, NotFound, Refused
from sheaf.format import keys


@pytest.fixture
def bundle(tmp_path: Path) -> sheaf.Bundle:
    repo = sheaf.connect(str(tmp_path / "store"), create=True).create_repo("r")
    with repo.edit(message="m") as edit:
        edit.put("x/tool", b"#!/bin/sh\n", mode=0o755, mtime_ns=17)
        edit.symlink("x/link", "tool")
        return edit.commit()


def test_it_has_the_bytes_mode_and_time(bundle: sheaf.Bundle, tmp_path: Path) -> None:
    states: list[int] = []
    bundle.download_file("x/tool", tmp_path / "here", progress=lambda state: states.append(state.bytes))
    found = (tmp_path / "here").stat()
    assert (tmp_path / "here").read_bytes() == b"#!/bin/sh\n"
    assert (found.st_mode & 0o777, found.st_mtime_ns) == (0o755, 17)
    bundle.download_file("x/link", tmp_path / "link")
    assert (tmp_path / "link").readlink() == Path("tool")
    assert sorted(os.listdir(tmp_path)) == ["here", "link", "store"]


def test_another_file_is_replaced_only_if_that_is_meant(bundle: sheaf.Bundle, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("mine")
    with pytest.raises(Refused, match="already exists"):
        bundle.download_file("x/tool", tmp_path / "here")
    assert (tmp_path / "here").read_text() == "mine"
    bundle.download_file("x/tool", tmp_path / "here", force=True)
    assert (tmp_path / "here").read_bytes() == b"#!/bin/sh\n"
    with pytest.raises(Refused, match="is a folder"):
        bundle.download_file("x/tool", tmp_path, force=True)


def test_paths_that_are_none_are_refused(bundle: sheaf.Bundle, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such folder"):
        bundle.download_file("x/tool", tmp_path / "nowhere" / "here")
    with pytest.raises(NotFound, match="y"):
        bundle.download_file("y", tmp_path / "here")
    with pytest.raises(InvalidInput, match="folder"):
        bundle.download_file("x", tmp_path / "here")
    assert os.listdir(tmp_path) == ["store"]


def test_of_a_damaged_file_nothing_is_left(bundle: sheaf.Bundle, tmp_path: Path) -> None:
    for pack in (tmp_path / "store" / keys.PACKS).rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            pack.write_bytes(bytes(pack.stat().st_size))
    with pytest.raises(Corrupt):
        bundle.download_file("x/tool", tmp_path / "here")
    assert os.listdir(tmp_path) == ["store"]


def test_an_entry_knows_whether_a_local_path_is_its_copy(bundle: sheaf.Bundle, tmp_path: Path) -> None:
    tool, link = bundle.entry("x/tool"), bundle.entry("x/link")
    place = tmp_path / "here"
    assert not tool.is_at(place)
    bundle.download_file("x/tool", place)
    assert tool.is_at(place)
    assert tool.is_at(str(place))
    assert not link.is_at(place)
    place.write_bytes(b"#!/bin/SH\n")
    assert not tool.is_at(place)
    place.unlink()
    place.symlink_to("tool")
    assert link.is_at(place)
    assert not tool.is_at(place)
