"""``sheaf://``: what paths name, what reads see, what writes commit."""

from __future__ import annotations

import errno
import os
import pickle
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

import sheaf
from sheaf.fsspec import SheafFileSystem
from sheaf.model.records import SetLabel

BIG = os.urandom(3 << 20)


@pytest.fixture
def init(repo: sheaf.Repo) -> sheaf.Bundle:
    """A bundle with a file of each kind, labelled ``init``."""
    with repo.edit(message="first", label="init") as edit:
        edit.put("labels.csv", b"name,label\na,1\n")
        edit.put("train/1.bin", BIG)
        edit.put("train/deep/2.txt", b"two")
        edit.put("run.sh", b"#!/bin/sh\n", mode=0o755)
        edit.symlink("link", "train")
        edit.symlink("nowhere", "none")
        edit.mkdir("empty")
        return edit.commit()


def count(repo: sheaf.Repo) -> int:
    return len(repo.bundles())


# -- names -------------------------------------------------------------------------------------------------------------


def test_every_form_of_a_ref_names_the_bundle(fs: SheafFileSystem, init: sheaf.Bundle) -> None:
    refs = ["main", "init", "branch:main", "label:init", init.id, f"bundle:{init.id}", init.version[:12], "main~0"]
    for ref in refs:
        assert fs.cat(f"sheaf://acme/faces@{ref}/train/deep/2.txt") == b"two"
    with pytest.raises(FileNotFoundError):
        fs.cat("sheaf://acme/faces@none/train/deep/2.txt")
    with pytest.raises(FileNotFoundError):
        fs.cat("sheaf://acme/none@main/x")


def test_repos_and_refs_are_folders(fs: SheafFileSystem, repo: sheaf.Repo, init: sheaf.Bundle) -> None:
    assert fs.ls("sheaf://", detail=False) == ["acme"]
    assert fs.ls("acme", detail=False) == ["acme/faces"]
    assert fs.ls("acme/faces", detail=False) == ["acme/faces@main", "acme/faces@init"]
    assert fs.isdir("acme") and fs.isdir("acme/faces@main") and not fs.exists("acm")
    named_twice = SetLabel("main", init.id)  # as older programs could
    repo.context.log.append(lambda head: (named_twice,))
    assert fs.ls("acme/faces", detail=False)[0] == "acme/faces@branch:main"
    assert "acme/faces@init/labels.csv" in fs.find("acme")


def test_listings_say_what_the_bundle_has(fs: SheafFileSystem, init: sheaf.Bundle) -> None:
    at = "acme/faces@init"
    files = ["labels.csv", "nowhere", "run.sh", "train/1.bin", "train/deep/2.txt"]  # "link" is a folder
    assert fs.find(at) == [f"{at}/{name}" for name in files]
    assert fs.glob(f"{at}/**/*.txt") == [f"{at}/train/deep/2.txt"]
    info = fs.info(f"{at}/run.sh")
    assert info["content"] == init.entry("run.sh").content
    assert (info["size"], info["type"], info["mode"]) == (10, "file", 0o755)
    assert fs.info(f"{at}/empty")["type"] == "directory" and stat.S_ISDIR(fs.info(f"{at}/train")["mode"])
    assert fs.ukey(f"{at}/run.sh") == info["content"] and fs.modified(f"{at}/run.sh").year > 2000
    assert fs.du(at) == sum(init.entry(name).size for name in files if name != "nowhere")


def test_symlinks_are_followed(fs: SheafFileSystem, init: sheaf.Bundle) -> None:
    assert fs.cat("acme/faces@main/link/deep/2.txt") == b"two"
    assert fs.ls("acme/faces@main/link/deep", detail=False) == ["acme/faces@main/link/deep/2.txt"]
    assert fs.info("acme/faces@main/link")["type"] == "directory"
    assert not fs.exists("acme/faces@main/nowhere") and fs.lexists("acme/faces@main/nowhere")
    assert fs.info("acme/faces@main/nowhere")["destination"] == "none"


# -- reading -----------------------------------------------------------------------------------------------------------


def test_any_range_can_be_read(fs: SheafFileSystem, init: sheaf.Bundle) -> None:
    path = "acme/faces@main/train/1.bin"
    assert fs.cat_file(path) == BIG
    assert fs.cat_file(path, 10, 20) == BIG[10:20]
    assert fs.cat_file(path, -5) == BIG[-5:]
    assert fs.cat_ranges([path, path], [0, 100], [5, 105]) == [BIG[:5], BIG[100:105]]
    with fs.open(path) as stream:
        stream.seek(1_000_000)
        assert stream.read(7) == BIG[1_000_000:1_000_007]
    with fs.open("acme/faces@main/labels.csv", "r") as text:
        assert text.readlines() == ["name,label\n", "a,1\n"]


def test_a_branch_is_read_where_it_is_now_and_a_bundle_where_it_was(
    fs: SheafFileSystem, repo: sheaf.Repo, init: sheaf.Bundle
) -> None:
    assert fs.cat("acme/faces@main/labels.csv") == fs.cat(f"acme/faces@{init.id}/labels.csv")
    with repo.edit(message="second") as edit:
        edit.put("labels.csv", b"new")
        edit.commit()
    assert fs.cat("acme/faces@main/labels.csv") == b"new"
    assert fs.cat(f"acme/faces@{init.id}/labels.csv") != b"new"


def test_a_call_that_reads_many_files_reads_one_bundle(
    fs: SheafFileSystem, repo: sheaf.Repo, init: sheaf.Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = SheafFileSystem.get_file

    def get_and_change(self: SheafFileSystem, *args: object, **kwargs: object) -> None:
        plain(self, *args, **kwargs)  # type: ignore[arg-type]
        with repo.edit(message="meanwhile") as edit:
            edit.put("labels.csv", b"new")
            edit.put("run.sh", b"new")
            edit.commit()

    monkeypatch.setattr(SheafFileSystem, "get_file", get_and_change)
    names = ["acme/faces@main/run.sh", "acme/faces@main/labels.csv"]
    fs.get(names, [str(tmp_path / "a"), str(tmp_path / "b")])
    assert (tmp_path / "b").read_bytes() == b"name,label\na,1\n"
    assert fs.cat(names) == dict.fromkeys(names, b"new")


def test_who_reads_on_is_given_more_at_a_time(fs: SheafFileSystem, init: sheaf.Bundle) -> None:
    with fs.open("acme/faces@main/train/1.bin", block_size=10_000) as stream:
        asked: list[int] = []
        contents = stream.raw._contents

        def read(entry: object, at: int, size: int) -> bytes:
            asked.append(size)
            data: bytes = contents.read(entry, at, size)
            return data

        stream.raw._contents = SimpleNamespace(read=read)
        parts = []
        while part := stream.read(10_000):
            parts.append(part)
        assert b"".join(parts) == BIG
        assert asked[:5] == [10_000, 20_000, 40_000, 80_000, 160_000]
        asked.clear()
        stream.seek(1000)
        assert stream.read(10) == BIG[1000:1010]
        stream.seek(2_000_000)
        assert stream.read(10) == BIG[2_000_000:2_000_010]
        assert max(asked) == 10_000


def test_errors_are_those_of_a_file_system(fs: SheafFileSystem, init: sheaf.Bundle) -> None:
    with pytest.raises(IsADirectoryError):
        fs.open("acme/faces@main/train")
    with pytest.raises(IsADirectoryError):
        fs.open("acme/faces@main/train", "wb")
    with pytest.raises(NotADirectoryError):
        fs.pipe_file("acme/faces@main/labels.csv/x", b"")
    with pytest.raises(FileNotFoundError):
        fs.rm_file("acme/faces@main/none")
    with pytest.raises(OSError) as caught:
        fs.rmdir("acme/faces@main/train")
    assert caught.value.errno == errno.ENOTEMPTY
    with pytest.raises(ValueError, match="plain relative path"):
        fs.pipe_file("acme/faces@main/a/../b", b"")


@pytest.mark.parametrize("ref", ["init", "label:init", "main~0x", "bundle"])
def test_only_branches_can_be_written_to(fs: SheafFileSystem, init: sheaf.Bundle, ref: str) -> None:
    ref = init.id if ref == "bundle" else ref
    with pytest.raises((OSError, ValueError)):
        fs.pipe_file(f"acme/faces@{ref}/x", b"x")
    with pytest.raises(ValueError, match="does not name a bundle"):
        fs.pipe_file("acme/faces", b"x")


# -- writing -----------------------------------------------------------------------------------------------------------


def test_each_call_makes_one_bundle(fs: SheafFileSystem, repo: sheaf.Repo, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a", "b", "sub/c"):
        (tmp_path / name).write_text(name)
    (tmp_path / "b").chmod(0o755)
    os.utime(tmp_path / "a", ns=(5, 1_500_000_000_123_456_789))
    fs.put(str(tmp_path) + "/", "acme/faces@main/in/", recursive=True)
    assert count(repo) == 1
    entry = repo.bundle("main").entry
    assert (entry("in/a").mtime_ns, entry("in/b").mode) == (1_500_000_000_123_456_789, 0o755)
    fs.pipe({"acme/faces@main/x": b"x", "acme/faces@main/y": b"y"})
    fs.copy("acme/faces@main/in", "acme/faces@main/out", recursive=True)
    fs.mv("acme/faces@main/x", "acme/faces@main/z")
    fs.rm("acme/faces@main/in", recursive=True)
    assert count(repo) == 5
    paths = [entry.path for entry in repo.bundle("main").ls(recursive=True) if entry.kind == "file"]
    assert sorted(paths) == ["out/a", "out/b", "out/sub/c", "y", "z"]
    assert repo.bundle("main").author.name == "ada"


def test_what_comes_back_has_its_mode_and_time(fs: SheafFileSystem, init: sheaf.Bundle, tmp_path: Path) -> None:
    fs.get("acme/faces@init/run.sh", str(tmp_path / "run.sh"))
    status = (tmp_path / "run.sh").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o755, init.entry("run.sh").mtime_ns)


def test_a_copy_reads_and_writes_no_bytes(fs: SheafFileSystem, repo: sheaf.Repo, init: sheaf.Bundle) -> None:
    before = fs.access.connection.store.info().sizes["packs"]
    fs.copy("acme/faces@init/train", "acme/faces@main/copy", recursive=True)
    assert fs.access.connection.store.info().sizes["packs"] == before
    assert fs.cat("acme/faces@main/copy/1.bin") == BIG


def test_files_can_be_appended_to_and_changed_in_place(fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    path = "acme/faces@main/log"
    for part in (b"one,", BIG, b",two"):
        with fs.open(path, "ab") as stream:
            stream.write(part)
    assert fs.cat(path) == b"one," + BIG + b",two"
    with fs.open(path, "r+b") as stream:
        stream.seek(4)
        stream.write(b"XX")
        stream.truncate(8)
    assert fs.cat(path) == b"one,XX" + BIG[2:4]
    assert count(repo) == 4


def test_a_file_that_failed_half_way_is_not_written(fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    with pytest.raises(RuntimeError), fs.open("acme/faces@main/x", "wb") as stream:
        stream.write(b"half")
        raise RuntimeError
    assert count(repo) == 0


def test_branches_other_than_main_must_be_made(fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    with pytest.raises(FileNotFoundError, match="mkdir"):
        fs.pipe_file("acme/faces@exp/x", b"x")
    with pytest.raises(FileNotFoundError, match="mkdir"):  # what fsspec.open does before it writes
        fs.makedirs("acme/faces@exp", exist_ok=True)
    fs.makedirs("acme/faces@main", exist_ok=True)
    assert count(repo) == 0
    fs.mkdir("acme/faces@exp")
    with pytest.raises(FileExistsError):
        fs.mkdir("acme/faces@exp")
    fs.makedirs("acme/faces@exp", exist_ok=True)
    fs.pipe_file("acme/faces@exp/x", b"x")
    assert fs.ls("acme/faces@exp", detail=False) == ["acme/faces@exp/x"]
    assert [branch.name for branch in repo.branches()] == ["exp"]


def test_writers_beside_each_other_lose_nothing(url: str, repo: sheaf.Repo) -> None:
    def write(i: int) -> None:
        fs = SheafFileSystem(store=url, skip_instance_cache=True)
        fs.pipe_file(f"acme/faces@main/{i}", str(i).encode())
        fs.access.connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(8)))
    assert sorted(entry.path for entry in repo.bundle("main").ls()) == [str(i) for i in range(8)]


def test_a_file_system_can_be_sent_to_another_process(fs: SheafFileSystem, init: sheaf.Bundle) -> None:
    again = pickle.loads(pickle.dumps(fs))
    assert again.cat("acme/faces@init/train/deep/2.txt") == b"two"
    assert SheafFileSystem.from_json(fs.to_json()).storage_options == fs.storage_options
    again.access.connection.close()
