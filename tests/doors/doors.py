"""The doors of a store, each as one function that writes a folder and one that reads a bundle.

A new door gets its row in WRITERS and READERS, and is held against all the others.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.libraries import need
from tests.mount.conftest import Mounts, missing

import sheaf
from sheaf.fsspec import SheafFileSystem

__all__ = ["READERS", "WRITERS", "Files", "World", "mounted"]

#: Path to content and the owner's execute bit.
Files = dict[str, tuple[bytes, bool]]


@dataclass
class World:
    """A store with a repo ``faces``, and how to reach it."""

    url: str
    store: sheaf.Store
    cli: Cli
    scratch: Path

    @property
    def repo(self) -> sheaf.Repo:
        return self.store.repo("faces")


# -- writing -----------------------------------------------------------------------------------------------------------


def by_command_line(world: World, folder: Path) -> None:
    world.cli("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "by command line")


def by_upload(world: World, folder: Path) -> None:
    world.repo.upload(folder, message="by upload")


def by_edit(world: World, folder: Path) -> None:
    with world.repo.edit(message="by edit") as edit:
        for path in sorted(folder.rglob("*"), reverse=True):
            name = path.relative_to(folder).as_posix()
            edit.mkdir(name) if path.is_dir() else edit.put_file(name, path)
        edit.commit()


def by_diamond(world: World, folder: Path) -> None:
    diamond = world.repo.create_diamond()
    for number, child in enumerate(sorted(folder.iterdir())):
        part = world.scratch / f"part{number}"
        part.mkdir()
        (shutil.copytree if child.is_dir() else shutil.copy2)(child, part / child.name)
        diamond.add_split(part)
    diamond.commit(message="by diamond")


def by_fsspec(world: World, folder: Path) -> None:
    fs = SheafFileSystem(store=world.url, skip_instance_cache=True)
    fs.put(f"{folder}/", "faces@main/", recursive=True)
    fs.access.connection.close()


def by_fsspec_streams(world: World, folder: Path) -> None:
    """Written through open files, in the wrong order, half of it first under another name."""
    fs = SheafFileSystem(store=world.url, skip_instance_cache=True)
    with fs.transaction:
        for path in sorted(folder.rglob("*"), reverse=True):
            name = f"faces@main/{path.relative_to(folder).as_posix()}"
            if path.is_dir():
                fs.makedirs(name, exist_ok=True)
            elif path.stat().st_mode & 0o100:
                fs.put_file(str(path), name + ".tmp")  # an open file has no mode
                fs.mv(name + ".tmp", name)
            else:
                with fs.open(name, "wb") as stream:
                    stream.write(path.read_bytes())
    fs.access.connection.close()


def by_notebook(world: World, folder: Path) -> None:
    shells = need("IPython.core.interactiveshell")
    shell = shells.InteractiveShell()
    shell.history_manager.enabled = False
    for code in (
        f"%load_ext sheaf\n%sheaf store {world.url}",
        f"%%sheaf run --out faces\nimport shutil\nshutil.copytree({str(folder)!r}, out, dirs_exist_ok=True)",
        "%unload_ext sheaf",
    ):
        shell.run_cell(code).raise_error()


def by_mount(world: World, folder: Path) -> None:
    with mounted(world) as mounts:
        mount = mounts.start("bundle", "mount", "new", "--repo", "faces", "--message", "by mount")
        subprocess.run(["cp", "-a", f"{folder}/.", str(mount.folder)], check=True)
        assert mount.unmount() == 0, mount.err


@contextmanager
def mounted(world: World) -> Iterator[Mounts]:
    """What mounts the store; the test is skipped where nothing can be mounted."""
    if missing():
        pytest.skip(missing())
    home = Path(tempfile.mkdtemp(dir=world.scratch))
    mounts = Mounts(home, world.url)
    try:
        yield mounts
    finally:
        mounts.clean()


WRITERS: dict[str, Callable[[World, Path], None]] = {
    "command line": by_command_line,
    "upload": by_upload,
    "edit": by_edit,
    "diamond": by_diamond,
    "fsspec": by_fsspec,
    "fsspec streams": by_fsspec_streams,
    "notebook": by_notebook,
    "mount": by_mount,
}


# -- reading -----------------------------------------------------------------------------------------------------------


def look(folder: Path) -> Files:
    """The files of a local folder."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in folder.rglob("*")
        if path.is_file()
    }


def from_command_line(world: World) -> Files:
    world.cli("bundle", "download", "--repo", "faces", "--destination", world.scratch / "cli")
    return look(world.scratch / "cli")


def from_download(world: World) -> Files:
    world.repo.bundle("main").download(world.scratch / "api")
    return look(world.scratch / "api")


def from_python(world: World) -> Files:
    bundle = world.repo.bundle("main")
    return {
        entry.path: (bundle.read(entry.path), entry.executable)
        for entry in bundle.ls(recursive=True)
        if entry.kind == "file"
    }


def from_batches(world: World) -> Files:
    bundle = world.repo.bundle("main")
    samples = [sample for batch in bundle.batches(shuffle=1) for sample in batch]
    return {path: (data, bundle.entry(path).executable) for path, data in samples}


def from_fsspec(world: World) -> Files:
    fs = SheafFileSystem(store=world.url, skip_instance_cache=True)
    fs.get("faces@main/", str(world.scratch / "fsspec"), recursive=True)
    fs.access.connection.close()
    return look(world.scratch / "fsspec")


def from_notebook(world: World) -> Files:
    shells = need("IPython.core.interactiveshell")
    shell = shells.InteractiveShell()
    shell.history_manager.enabled = False
    folder = world.scratch / "notebook"
    for line in (
        "%load_ext sheaf",
        f"%sheaf store {world.url}",
        f"%sheaf use faces --folder {folder}",
        "%unload_ext sheaf",
    ):
        shell.run_cell(line).raise_error()
    return look(folder)


def from_mount(world: World) -> Files:
    if missing():
        return from_python(world)  # nothing can be mounted here
    with mounted(world) as mounts:
        return look(mounts.start("bundle", "mount", "--repo", "faces", "--branch", "main").folder)


READERS: dict[str, Callable[[World], Files]] = {
    "command line": from_command_line,
    "download": from_download,
    "python": from_python,
    "batches": from_batches,
    "fsspec": from_fsspec,
    "notebook": from_notebook,
    "mount": from_mount,
}
