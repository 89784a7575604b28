"""The sidecar's view of the coordination folder."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sheaf.errors import SheafError, Unavailable
from sheaf.sidecar.coordination import FUSE, CoordinationFolder


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
