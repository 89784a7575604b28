"""A small folder with one of each thing that a folder can hold."""

from __future__ import annotations

from pathlib import Path

__all__ = ["BUNDLE_ID", "TIME", "change", "make_folder", "tree_of"]

BUNDLE_ID = r"[0-9A-Za-z]{27}"
EXACT_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})? \+0000 UTC"


def make_folder(folder: Path) -> Path:
    """Files in folders, an executable, a symlink, an empty folder, names that need care."""
    (folder / "train" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "labels.csv").write_text("name,label\na,1\nb,2\n")
    (folder / "train" / "1.jpg").write_bytes(bytes(range(256)) * 20)
    (folder / "train" / "deep" / "ünï.txt").write_text("tief\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("labels.csv")
    (folder / "odd\nname").write_text("x")
    return folder


def change(folder: Path) -> None:
    """One added, one modified, one deleted, one renamed."""
    (folder / "new.txt").write_text("new\n")
    (folder / "labels.csv").write_text("name,label\na,1\nb,3\nc,4\n")
    (folder / "run.sh").unlink()
    (folder / "train" / "1.jpg").rename(folder / "train" / "2.jpg")


def tree_of(folder: Path) -> dict[str, tuple[object, ...]]:
    """What is in a folder: path to kind, mode, mtime and content."""
    return {path.relative_to(folder).as_posix(): _what(path) for path in sorted(folder.rglob("*"))}


def _what(path: Path) -> tuple[object, ...]:
    if path.is_symlink():
        return ("symlink", str(path.readlink()))
    status = path.stat()
    if path.is_dir():
        return ("folder",)
    return ("file", status.st_mode & 0o777, status.st_mtime_ns, path.read_bytes())
