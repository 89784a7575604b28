"""The sidecar's view of the coordination folder."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sheaf.errors import Refused, SheafError, Unavailable
from sheaf.sidecar.coordination import FUSE, POSTGRES, CoordinationFolder, CoordinationFolders


class _CreatedByBoth(type(Path())):  # type: ignore[misc]
    """A folder that the application creates just before the sidecar does."""

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        super().mkdir(mode, parents=parents, exist_ok=True)
        super().mkdir(mode, parents=parents, exist_ok=exist_ok)


def test_a_folder_that_the_application_creates_at_the_same_time_is_claimed(tmp_path: Path) -> None:
    path = _CreatedByBoth(tmp_path / "coord")
    CoordinationFolder(path, FUSE).claim()
    assert (tmp_path / "coord" / "fuse-running").exists()


def test_a_file_instead_of_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "coord").touch()
    with pytest.raises(Unavailable, match=r"coordination folder .*/coord: Not a directory"):
        CoordinationFolder(tmp_path / "coord", FUSE).claim()


def test_a_folder_that_another_sidecar_has_claimed_is_refused(tmp_path: Path) -> None:
    CoordinationFolder(tmp_path, FUSE).claim()
    with pytest.raises(SheafError, match="it contains 'fuse-running' from an earlier run"):
        CoordinationFolder(tmp_path, FUSE).claim()


def test_a_failure_before_the_folder_exists_is_written(tmp_path: Path) -> None:
    folder = CoordinationFolder(tmp_path / "new" / "coord", FUSE)
    folder.fail(Unavailable("no store", "set one"))
    assert (folder.path / "fuse-failed").read_text() == "no store (set one)\n"
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o777


def test_a_failure_after_all_is_saved_is_not_written(tmp_path: Path) -> None:
    folder = CoordinationFolder(tmp_path, FUSE)
    folder.claim()
    folder.emit(FUSE.saved)
    folder.fail(Unavailable("too late"))
    assert not (tmp_path / "fuse-failed").exists()


def test_several_folders_are_as_one(tmp_path: Path) -> None:
    places = [tmp_path / "one", tmp_path / "two"]
    folders = CoordinationFolders(places, POSTGRES)
    folders.claim()
    assert folders.application_beat == ""
    folders.emit(POSTGRES.ready)
    assert [(place / "dbstarted").exists() for place in places] == [True, True]
    (places[0] / POSTGRES.finished).touch()
    assert not folders.is_finished, "another application still uses its database"
    (places[1] / POSTGRES.finished).touch()
    assert folders.is_finished
    assert folders.application_failure is None
    (places[1] / "application-running").touch()
    assert folders.application_beat
    (places[1] / "application-failed").write_text("exited with code 3\n")
    assert folders.application_failure == "exited with code 3"
    folders.fail(Refused("no"))
    assert [(place / POSTGRES.failed).read_text() for place in places] == ["no\n", "no\n"]


def test_one_used_folder_is_refused_among_several(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / POSTGRES.saved).touch()
    with pytest.raises(Refused, match="two: it contains 'dbuploaddone' from an earlier run"):
        CoordinationFolders([tmp_path / "one", tmp_path / "two"], POSTGRES).claim()
