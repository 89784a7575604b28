"""The spill of a writable mount on a disk that becomes full, and after writes that were cut off."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sheaf.errors import InvalidInput
from sheaf.mount.fuse.port import ROOT_INO, AttributeChange, WaitPolicy
from sheaf.mount.journal import About, Drop, Make, Op, Spill
from sheaf.mount.overlay import OverlayFs

ABOUT = About("s", "r", "rid", None, "main", "m", None)


def _fs(spill: Spill) -> OverlayFs:
    return OverlayFs(spill, None, WaitPolicy(), lambda: 10**18, 10**18)


def _replayed(folder: Path) -> set[str]:
    spill = Spill.reopen(folder)
    fs = _fs(spill)
    fs.replay()
    spill.close()
    return {name for name, _ in fs.names(ROOT_INO)}


def _fill_up(fs: OverlayFs) -> int:
    """A file that takes all room, and folders until the journal has none; how many there are."""
    _, handle = fs.create(ROOT_INO, "fill", 0o600)
    offset = 0
    with pytest.raises(OSError, match="No space"):
        while True:
            offset += fs.write(handle, offset, bytes(8192))
    fs.release(handle)
    folders = 0
    with pytest.raises(OSError, match="No space"):
        while True:
            fs.mkdir(ROOT_INO, f"a-long-directory-name-{folders}", 0o755)
            folders += 1
    return folders


def test_what_fills_a_disk_can_be_removed_and_nothing_else_is_lost(tiny: Path) -> None:
    spill = Spill.begin(tiny / "sp", ABOUT)
    fs = _fs(spill)
    folders = _fill_up(fs)
    for i in range(0, folders, 2):
        fs.rmdir(ROOT_INO, f"a-long-directory-name-{i}")
    fs.unlink(ROOT_INO, "fill")
    fs.release(fs.create(ROOT_INO, "after", 0o600)[1])
    spill.close()
    left = {f"a-long-directory-name-{i}" for i in range(1, folders, 2)}
    assert _replayed(tiny / "sp") == left | {"after"}


def test_a_file_that_could_not_be_made_takes_no_room(tiny: Path) -> None:
    spill = Spill.begin(tiny / "sp", ABOUT)
    fs = _fs(spill)
    _fill_up(fs)
    before = spill.fills()
    with pytest.raises(OSError, match="No space"):
        fs.create(ROOT_INO, "x", 0o600)
    assert spill.fills() == before
    spill.close()


def test_a_write_that_a_full_disk_cut_short_says_how_much_was_written(tiny: Path) -> None:
    spill = Spill.begin(tiny / "sp", ABOUT)
    fs = _fs(spill)
    attr, handle = fs.create(ROOT_INO, "big", 0o600)
    written = fs.write(handle, 0, bytes(2 << 20))
    assert 0 < written < 2 << 20
    assert fs.getattr(attr.ino).size == written
    fs.release(handle)
    spill.close()


def test_a_mount_that_has_no_room_to_begin_leaves_nothing(tiny: Path) -> None:
    (tiny / "full").write_bytes(bytes(1000 << 10))
    with pytest.raises(OSError) as caught:
        Spill.begin(tiny / "sp", ABOUT)
    assert caught.value.errno == errno.ENOSPC
    assert not (tiny / "sp").exists()


def _op(n: int) -> Op:
    return Make(ROOT_INO, f"n{n}", (1 << 48) + n, 2, 0o755, 1)


def test_a_line_that_was_cut_off_is_overwritten_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spill = Spill.begin(tmp_path / "sp", ABOUT)
    spill.note(_op(1))
    real = os.pwrite

    def short(fd: int, data: memoryview, offset: int) -> int:
        if len(data) < 12:
            raise OSError(errno.ENOSPC, "full")
        return real(fd, bytes(data)[:10], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", short)
        with pytest.raises(OSError, match="full"):
            spill.note(_op(2))
    assert list(spill.ops()) == [_op(1)]
    spill.note(Drop(1, "n", 1))
    spill.note(_op(3))
    assert list(spill.ops()) == [_op(1), Drop(1, "n", 1), _op(3)]
    spill.close()


def test_a_mount_continues_behind_a_line_that_was_cut_off(tmp_path: Path) -> None:
    spill = Spill.begin(tmp_path / "sp", ABOUT)
    spill.note(_op(1))
    spill.note(_op(2))
    spill.close()
    journal = tmp_path / "sp/journal"
    whole = journal.read_bytes().rstrip(b"\0")
    for end in range(len(whole) - 20, len(whole)):
        journal.write_bytes(whole[:end])
        spill = Spill.reopen(tmp_path / "sp")
        spill.note(_op(3))
        assert list(spill.ops()) == [_op(1), _op(3)]
        spill.close()


def test_damage_before_the_end_is_named_by_its_line(tmp_path: Path) -> None:
    spill = Spill.begin(tmp_path / "sp", ABOUT)
    spill.note(_op(1))
    spill.close()
    journal = tmp_path / "sp/journal"
    whole = journal.read_bytes().rstrip(b"\0")
    journal.write_bytes(whole + b"nonsense\n" + whole.splitlines(keepends=True)[1])
    spill = Spill.reopen(tmp_path / "sp")
    with pytest.raises(InvalidInput, match="line 3 is damaged"):
        list(spill.ops())
    spill.close()


def test_the_next_fsync_says_what_a_full_disk_did_not_take(tiny: Path) -> None:
    """The system writes what programs changed through mmap, and looks at errors only, not at how much was written."""
    spill = Spill.begin(tiny / "sp", ABOUT)
    fs = _fs(spill)
    _, handle = fs.create(ROOT_INO, "big", 0o600)
    written = fs.write(handle, 0, bytes(2 << 20))
    with pytest.raises(OSError, match="No space"):
        fs.fsync(handle)
    fs.fsync(handle)  # it was said
    fs.setattr(fs.lookup(ROOT_INO, "big").ino, AttributeChange(size=written - 8192))
    assert fs.write(handle, written - 8192, bytes(16384)) == 8192
    fs.setattr(fs.lookup(ROOT_INO, "big").ino, AttributeChange(size=0))
    assert fs.write(handle, written, b"the rest") == 8
    fs.fsync(handle)  # the program has written the rest itself
    fs.release(handle)
    spill.close()


def test_fsync_says_what_the_disk_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some disks find out late that they are full: on a network, or with a quota."""
    spill = Spill.begin(tmp_path / "sp", ABOUT)
    fs = _fs(spill)
    _, handle = fs.create(ROOT_INO, "a", 0o600)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="full"):
            fs.fsync(handle)
        with pytest.raises(OSError, match="full"):
            fs.fsync_names()
    fs.fsync(handle)
    fs.release(handle)
    spill.close()
