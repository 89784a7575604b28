"""Two releases of a real source tree go in and come out; what differs is named exactly, and costs what it must."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sheaf

pytestmark = pytest.mark.slow

RELEASES = ("django==5.1.1", "django==5.2")


def fetched(requirement: str, folder: Path) -> Path:
    """A release's wheel, unpacked, with a symlink and an executable that wheels don't have."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d"]
    done = subprocess.run([*command, str(folder / "wheels"), requirement], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{requirement} can't be downloaded: {done.stderr.strip()[-200:]}")
    version = requirement.partition("==")[2]
    target = folder / version
    with zipfile.ZipFile(next((folder / "wheels").glob(f"*-{version}-*"))) as wheel:
        wheel.extractall(target)
    (target / "link").symlink_to("django/__init__.py")
    (target / "django/__main__.py").chmod(0o755 if version == "5.2" else 0o644)
    return target


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    found: dict[str, tuple[bytes, int]] = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at) / name
            link = path.is_symlink()
            value = (bytes(path.readlink()), -1) if link else (path.read_bytes(), path.stat().st_mode & 0o100)
            found[str(path.relative_to(folder))] = value
    return found


def shape(folder: Path) -> list[tuple[str, int, int]]:
    paths = [Path(at) / name for at, folders, names in os.walk(folder) for name in [*folders, *names]]
    return sorted((str(p.relative_to(folder)), p.lstat().st_mode, p.lstat().st_mtime_ns) for p in paths)


def test_two_releases_of_a_real_tree(tmp_path: Path) -> None:
    old, new = (fetched(requirement, tmp_path) for requirement in RELEASES)
    before, after = files(old), files(new)
    with sheaf.connect(str(tmp_path / "store"), create=True, cache=tmp_path / "cache") as store:
        repo = store.create_repo("django")
        repo.upload(old, message="old", label="old")
        size = store.info().stored_bytes
        repo.upload(new, message="new", label="new")
        grown = store.info().stored_bytes - size

        named = set()
        for change in repo.bundle("old").diff(repo.bundle("new")):
            entry = change.new or change.old
            assert entry is not None
            if entry.kind == "folder":
                continue
            if change.kind == "renamed":
                named |= {("deleted", change.old_path), ("added", change.path)}
            else:
                named.add((change.kind, change.path))
        expected = {("deleted", path) for path in before.keys() - after.keys()}
        expected |= {("added", path) for path in after.keys() - before.keys()}
        expected |= {("modified", path) for path in before.keys() & after.keys() if before[path] != after[path]}
        assert named == expected

        changed = sum(len(after[path][0]) for kind, path in expected if kind != "deleted")
        assert grown <= changed + (1 << 20)

        for label, folder in (("old", old), ("new", new)):
            out = tmp_path / f"out-{label}"
            repo.bundle(label).download(out)
            same = subprocess.run(["diff", "-r", "--no-dereference", str(folder), str(out)], check=False)
            assert same.returncode == 0
            assert shape(out) == shape(folder)
        assert store.check(read_data=True).ok
