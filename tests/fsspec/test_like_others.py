"""What programs expect of any file system of fsspec: damage is no absence, odd names, modes, exceptions, open files."""

from __future__ import annotations

import errno
import itertools
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fsspec
import sheaf
from sheaf.fsspec import SheafFileSystem

AT = "acme/faces@main"


@pytest.fixture
def damaged(tmp_path: Path) -> Iterator[SheafFileSystem]:
    """A store whose nodes are all damaged, read without a cache."""
    with (
        sheaf.init(str(tmp_path / "damaged"), probe=False) as store,
        store.create_repo("acme/faces").edit(message="m") as e,
    ):
        e.put("a/b.csv", b"1\n")
        e.commit()
    for node in (tmp_path / "damaged/nodes").glob("*/*"):
        node.chmod(0o644)
        data = bytearray(node.read_bytes())
        data[len(data) // 2] ^= 1
        node.write_bytes(data)
    yield SheafFileSystem(str(tmp_path / "damaged"), skip_instance_cache=True)


LOOKS: dict[str, Callable[[SheafFileSystem], object]] = {
    "exists": lambda fs: fs.exists(f"{AT}/a/b.csv"),
    "lexists": lambda fs: fs.lexists(f"{AT}/a/b.csv"),
    "isfile": lambda fs: fs.isfile(f"{AT}/a/b.csv"),
    "isdir": lambda fs: fs.isdir(f"{AT}/a"),
    "ls": lambda fs: fs.ls(AT),
    "glob": lambda fs: fs.glob(f"{AT}/**"),
    "walk": lambda fs: list(fs.walk(AT)),
    "find": lambda fs: fs.find(AT),
    "find with a depth": lambda fs: fs.find(AT, maxdepth=2),
    "du": lambda fs: fs.du(AT),
    "get": lambda fs: fs.get(f"{AT}/a/b.csv", "/dev/null"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_damage_is_never_taken_for_absence(damaged: SheafFileSystem, look: str) -> None:
    with pytest.raises(OSError) as caught:
        LOOKS[look](damaged)
    assert caught.value.errno == errno.EIO


def test_absence_is_still_an_answer(fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    fs.pipe_file(f"{AT}/a", b"1")
    for name in (f"{AT}/b", f"{AT}/a/below", "none@main/a", "acme/faces@nobranch/x", f"{AT}/a//..//x", "@"):
        assert not fs.exists(name) and not fs.isfile(name) and not fs.isdir(name)
    assert list(fs.walk(f"{AT}/none")) == [] and fs.glob(f"{AT}/none/*") == []


def test_a_folder_is_not_moved_into_itself(fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    fs.pipe({f"{AT}/data/a": b"1", f"{AT}/data/b": b"2"})
    for target in (f"{AT}/data/old", f"{AT}/data/old/", f"sheaf://{AT}/data/x/y"):
        with pytest.raises(OSError, match="into itself"):
            fs.mv(f"{AT}/data", target, recursive=True)
    assert len(fs.find(AT)) == 2
    with repo.edit(message="a link") as edit:
        edit.symlink("link", "data")
        edit.commit()
    for alias in (f"{AT}/link/x", "acme/faces@branch:main/data/x"):
        with pytest.raises(OSError, match="into itself"):
            fs.mv(f"{AT}/data", alias, recursive=True)
    fs.rm(f"{AT}/link")
    fs.mv(f"{AT}/data", f"{AT}/data2", recursive=True)
    assert fs.find(AT) == [f"{AT}/data2/a", f"{AT}/data2/b"]


WAYS: dict[str, Callable[[SheafFileSystem, str], Any]] = {
    "bytes": lambda fs, at: fs.open(at, "wb"),
    "text": lambda fs, at: fs.open(at, "w"),
    "gzip": lambda fs, at: fs.open(at, "wb", compression="gzip"),
    "gzip text": lambda fs, at: fs.open(at, "wt", compression="gzip"),
    "xz": lambda fs, at: fs.open(at, "wb", compression="xz"),
    "open": lambda fs, at: fsspec.open(f"sheaf://{at}", "wb", store=fs.access.connection.store.url),
    "open text": lambda fs, at: fsspec.open(f"sheaf://{at}", "w", store=fs.access.connection.store.url),
    "open gzip": lambda fs, at: fsspec.open(
        f"sheaf://{at}", "wt", compression="gzip", store=fs.access.connection.store.url
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_exception_inside_with_keeps_what_was_there(fs: SheafFileSystem, repo: sheaf.Repo, way: str) -> None:
    fs.pipe(f"{AT}/f", b"good")
    half: Any = "half" if "text" in way or way == "open gzip" else b"half"
    with pytest.raises(RuntimeError), WAYS[way](fs, f"{AT}/f") as file:
        file.write(half)
        raise RuntimeError
    assert fs.cat(f"{AT}/f") == b"good"
    try:
        raise KeyError
    except KeyError:  # one that is being handled is none of the file's
        with WAYS[way](fs, f"{AT}/f") as file:
            file.write(half)
    assert fs.cat(f"{AT}/f") != b"good"


def test_text_is_written_as_python_writes_it(fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    with fs.open(f"{AT}/f", "w", encoding="utf-16-le", newline="\r\n") as file:
        file.write("a\nb")
    assert fs.cat(f"{AT}/f") == "a\r\nb".encode("utf-16-le")


def test_open_files_know_themselves_and_can_be_sent(fs: SheafFileSystem, repo: sheaf.Repo, tmp_path: Path) -> None:
    fs.pipe(f"{AT}/f", b"0123456789\nabc\n")
    file = fs.open(f"{AT}/f")
    assert (file.size, file.path) == (15, f"{AT}/f")
    file.seek(3)
    assert pickle.loads(pickle.dumps(file)).read() == b"3456789\nabc\n"
    assert fs.read_block(f"{AT}/f", 0, 5, b"\n") == b"0123456789\n"
    url, options = f"blockcache::sheaf://{AT}/f", {"cache_storage": str(tmp_path / "blocks")}
    with fsspec.open(url, blockcache=options, sheaf={"store": fs.access.connection.store.url}) as cached:
        assert cached.read() == b"0123456789\nabc\n"


def test_links_that_lead_back_or_nowhere_stop_nothing(fs: SheafFileSystem, repo: sheaf.Repo, tmp_path: Path) -> None:
    with repo.edit(message="m") as edit:
        for name in ("a", "sub/b", "z"):
            edit.put(name, name.encode())
        edit.symlink("loop", ".")
        edit.symlink("sub/up", "..")
        edit.symlink("also", "sub")
        edit.symlink("dangling", "nowhere")
        edit.commit()
    walked = [path for path, _, _ in itertools.islice(fs.walk(AT), 100)]
    assert walked == [AT, f"{AT}/also", f"{AT}/sub"]
    assert fs.du(AT, maxdepth=3) > 0
    fs.get(f"{AT}/", f"{tmp_path}/out/", recursive=True)
    assert (tmp_path / "out/z").read_bytes() == b"z" and os.readlink(tmp_path / "out/dangling") == "nowhere"


@pytest.mark.parametrize("name", ["a[1].txt", "what?", "all*", "{x}"])
def test_a_name_that_looks_like_a_glob_is_taken_as_it_stands(
    fs: SheafFileSystem, repo: sheaf.Repo, tmp_path: Path, name: str
) -> None:
    fs.pipe_file(f"{AT}/{name}", b"x")
    fs.pipe_file(f"{AT}/a1.txt", b"y")
    at = next(found for found in fs.ls(AT, detail=False) if found.endswith(name))
    assert fs.cat(at) == b"x"
    fs.get(at, str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == b"x"
    fs.cp(at, f"{AT}/copy")
    assert fs.cat(f"{AT}/copy") == b"x"
    fs.rm(at)
    assert fs.ls(AT, detail=False) == [f"{AT}/a1.txt", f"{AT}/copy"]


def test_modes_are_those_of_open(fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    fs.pipe(f"{AT}/f", b"0123456789")
    with fs.open(f"{AT}/f", "ab") as file:
        file.seek(0)
        file.write(b"AB")
    assert fs.cat(f"{AT}/f") == b"0123456789AB"
    with fs.open(f"{AT}/f", "rb+") as file:
        file.write(b"x")
    assert fs.cat(f"{AT}/f") == b"x123456789AB"
    with fs.open(f"{AT}/f", "w+b") as file:
        file.write(b"new")
        file.seek(0)
        assert file.read() == b"new"
    with fs.open(f"{AT}/f", "r+b") as file:
        assert file.truncate(6) == 6
    assert fs.cat(f"{AT}/f") == b"new\0\0\0"
    for mode in ("", "b", "rw", "zb"):
        with pytest.raises(ValueError):
            fs.open(f"{AT}/f", mode)


def test_a_path_without_a_ref_is_answered_with_one_that_has_one(fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    with pytest.raises(FileNotFoundError, match=r"write sheaf://acme/faces@main/labels\.csv"):
        fs.cat("sheaf://acme/faces/labels.csv")
