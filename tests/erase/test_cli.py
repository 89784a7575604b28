"""`sheaf store erase` and what other commands say of what was erased."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture

from sheaf.fsspec import SheafFileSystem

SECRET = b"a person's own words " * 50


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "1.txt").write_bytes(SECRET)
    (folder / "copy").write_bytes(SECRET)
    (folder / "big").write_bytes(bytes(range(256)) * 2000)
    (folder / "other").write_bytes(b"other")
    return folder


@pytest.fixture
def faces(cli: Cli, folder: Path) -> str:  # noqa: F811
    cli("repo", "create", "--repo", "faces")
    cli("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "m", "--label", "init")
    return blake3(SECRET).hexdigest()


def test_it_asks_erases_and_leaves_a_receipt(cli: Cli, faces: str) -> None:  # noqa: F811
    asked = cli("store", "erase", "faces@init:train/1.txt", "--reason", "request 17", stdin="n\n", code=5)
    assert "Permanently erase this content (2 paths in 1 bundle)? " in asked.err
    cli("cat", "faces@init:copy")
    done = cli("store", "erase", faces, "--reason", "request 17", "--now", "--yes")
    assert done.lines[:2] == [f"erased {faces}", "2 paths in 1 bundle contained it; 1 pack was replaced"]
    assert "found nothing of it" in done.lines[2]
    (listed,) = cli("store", "erased").lines
    assert listed.split("\t")[0].endswith("Z")
    assert listed.endswith(f"\t{faces}\ttester\trequest 17")
    (notice,) = cli("store", "erased", "--json").objects
    assert (notice["content"], notice["reason"], notice["size"]) == (faces, "request 17", len(SECRET))
    (receipt,) = cli("store", "erased", "--receipts", "--json").objects
    assert receipt["contents"] == [faces] and len(receipt["places"]) == 2 and len(receipt["deleted"]) == 1
    assert receipt["id"] in cli("store", "erased", "--receipts").out


def test_what_it_needs_to_know(cli: Cli, faces: str) -> None:  # noqa: F811
    assert "--reason" in cli("store", "erase", faces, code=2).err
    assert "reason" in cli("store", "erase", faces, "--reason", " ", "--yes", code=2).err
    cli("store", "erase", "0" * 64, "--reason", "x", "--yes", code=3)
    cli("store", "erase", "faces@init:none", "--reason", "x", "--yes", code=3)
    cli("store", "erase", "faces@init:train", "--reason", "x", "--yes", code=2)
    cli("store", "erase", "abc", "--reason", "x", "--yes", code=2)
    cli("store", "erase", "faces@init:train", "b3:" + faces, "-r", "--reason", "x", "--yes", "--json")
    assert cli("store", "erased").lines


def test_contents_that_are_like_it_are_listed(cli: Cli, faces: str, folder: Path) -> None:  # noqa: F811
    (folder / "big").write_bytes(bytes(range(256)) * 2000 + b"!")
    cli("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "m", "--label", "next")
    (line,) = cli("store", "erase", "faces@init:big", "--like").lines
    shared, size, content, paths, place = line.split("\t")
    assert 0 < int(shared) < int(size) and len(content) == 64 and paths == "1"
    assert place.startswith("faces@") and place.endswith(":big")
    (like,) = cli("store", "erase", "faces@init:big", "--like", "--json").objects
    assert like["size"] == 512_001 and like["places"][0]["path"] == "big"
    assert cli("store", "erase", "faces@init:copy", "--like").out == ""


def test_readers_are_told(cli: Cli, faces: str, tmp_path: Path) -> None:  # noqa: F811
    cli("store", "erase", faces, "--reason", "request 17", "--now", "--yes")
    error = cli("cat", "faces@init:copy", code=3).err
    assert "'copy' was erased from the store on " in error and "by tester: request 17" in error
    where = ("--repo", "faces", "--label", "init")
    assert cli("bundle", "verify", *where).lines[-1].endswith(", 2 files were erased")
    got = cli("bundle", "download", *where, "--destination", tmp_path / "out", code=11)
    assert got.err.count("erased") >= 2 and "copy" in got.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["big", "other", "train"]
    one = cli("bundle", "download", "file", *where, "--file", "copy", "--destination", tmp_path / "one", code=3)
    assert "request 17" in one.err
    assert cli("bundle", "update", *where, "--destination", tmp_path / "out", "--json", code=11).object["erased"]
    cli("cp", "-r", "faces@init:", tmp_path / "copied", code=11)
    assert cli("store", "check", "--read-data").lines[-1] == "no damage found"


def test_uploads_are_refused_or_warned(cli: Cli, faces: str, folder: Path) -> None:  # noqa: F811
    cli("store", "erase", faces, "--reason", "x", "--now", "--yes")
    again = ("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "again")
    assert "was erased from this store" in cli(*again, code=5).err
    assert "--allow-erased" in cli(*again, code=5).err
    skipped = cli(*again, "--skip-on-error", code=11).err
    assert "skipped copy" in skipped and "skipped train/1.txt" in skipped
    assert f"content {faces} was erased from this store, but has been stored again" in cli(*again, "--allow-erased").err
    cli("cp", folder / "copy", "faces@main:one more", code=5)
    cli("cp", folder / "copy", "faces@main:one more", "--allow-erased")
    assert cli("cat", "faces@main:one more").raw == SECRET


def test_names_go_too(cli: Cli, faces: str, folder: Path, tmp_path: Path) -> None:  # noqa: F811
    placeholder = f"erased-{faces[:16]}"
    (folder / "copy").write_bytes(b"something else")
    cli("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "other", "--label", "next")
    before = cli("bundle", "get", "--repo", "faces", "--label", "init", "--json").object
    done = cli("store", "erase", faces, "--with-path", "--reason", "request 17", "--now", "--yes")
    assert "3 names were replaced with placeholders" in done.lines
    assert "the same names refer to other contents at 1 path" in done.err
    assert cli("ls", "faces@init:").lines == ["big", placeholder, "other", "train/"]
    assert cli("ls", "faces@init:train").lines == [f"train/{placeholder}"]
    bundle = cli("bundle", "get", "--repo", "faces", "--label", "init", "--json").object
    assert bundle == {**before, "redacted": True} and not before["redacted"]
    assert "note: redacted" in cli("bundle", "get", "--repo", "faces", "--label", "init").err
    cli("cat", "faces@init:train/1.txt", code=3)
    assert "request 17" in cli("cat", f"faces@init:{placeholder}", code=3).err
    assert placeholder in cli("diff", "faces@init", "faces@next").out
    cli("cp", "-r", "faces@init:", tmp_path / "copied", code=11)
    got = cli("bundle", "download", "--repo", "faces", "--label", "next", "--destination", tmp_path / "out", code=11)
    assert f"erased train/{placeholder}" in got.err and "1.txt" not in got.err
    assert cli("store", "check", "--read-data").lines[-1] == "no damage found"
    (receipt,) = cli("store", "erased", "--receipts", "--json").objects
    assert receipt["names"] == 3 and {place["path"] for place in receipt["places"]} == {
        placeholder,
        f"train/{placeholder}",
    }
    store = cli("store", "info", "--json").object["url"]
    files = SheafFileSystem(store=store, skip_instance_cache=True)
    assert sorted(path.rpartition("/")[2] for path in files.find("faces@init")) == [
        "big",
        placeholder,
        placeholder,
        "other",
    ]


def test_rows(cli: Cli, folder: Path) -> None:  # noqa: F811
    pq.write_table(pa.table({"person": [1, 17, 2], "city": ["a", "b", "b"]}), folder / "people.parquet")
    cli("repo", "create", "--repo", "faces")
    cli("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "m", "--label", "init")
    erase = ("store", "erase", "--rows", 'person == 17 and city in ("b", "c")', "--reason", "request 17")
    assert "REPO:PATTERN" in cli(*erase, "faces@init:people.parquet", "--yes", code=2).err
    assert "--reason" in cli(*erase[:4], "faces:*.parquet", code=2).err
    assert "every version of *.parquet" in cli(*erase, "faces:*.parquet", stdin="n\n", code=5).err
    done = cli(*erase, "faces:*.parquet", "--now", "--yes")
    assert "1 row was removed" in done.lines
    cli("cp", "faces@init:people.parquet", folder / "got.parquet")
    assert pq.read_table(folder / "got.parquet")["person"].to_pylist() == [1, 2]
    for wrong in ("person = 17", "person", "f(person) == 1", "person == x", "1 < person < 2", "not person"):
        refused = cli("store", "erase", "--rows", wrong, "faces:*.parquet", "--reason", "x", "--yes", code=2)
        assert "invalid condition" in refused.err
    cli(*erase, "faces:*.parquet", "--yes", code=3)


# -- what listings show


def _states(cli: Cli, *args: object) -> dict[str, str]:  # noqa: F811
    return {line.split("\t")[3]: line.split("\t")[-1] for line in cli("ls", "-l", "-R", *args).lines}


def test_listings_mark_what_was_erased(cli: Cli, faces: str, folder: Path) -> None:  # noqa: F811
    assert set(_states(cli, "faces").values()) == {""}
    assert cli("ls", "faces:copy", "--json").object["erased"] is False
    cli("store", "erase", faces, "--reason", "request", "--now", "--yes")
    gone = {"copy": "erased", "train/1.txt": "erased"}
    assert _states(cli, "faces") == {"train/": "", "other": "", "big": "", **gone}
    assert [line.endswith(" (erased)") for line in cli("ls", "-l", "faces:copy", "--table").lines] == [True]
    assert "erased" not in cli("ls", "-R", "faces").out
    erased = {record["path"] for record in cli("ls", "-R", "faces", "--json").objects if record["erased"]}
    assert erased == {*gone}
    listed = [line.split("\t") for line in cli("bundle", "list", "files", "--repo", "faces").lines[1:]]
    assert {path: state for path, _, _, state in listed} == {"other": "", "big": "", **gone}
    records = cli("bundle", "list", "files", "--repo", "faces", "--json").objects
    assert {record["path"] for record in records if record["erased"]} == {*gone}


def test_what_came_back_is_not_marked(cli: Cli, faces: str, folder: Path) -> None:  # noqa: F811
    cli("store", "erase", faces, "--reason", "request", "--now", "--yes")
    cli("upload", folder, "faces", "-m", "back", "--allow-erased")
    for ref in ("init", "main"):
        for path, state in _states(cli, f"faces@{ref}").items():
            if not path.endswith("/"):
                assert (cli("cat", f"faces@{ref}:{path}", code=None).code == 0) == (state == "")


def test_large_files_are_marked_too(cli: Cli, folder: Path) -> None:  # noqa: F811
    noise = random.Random(3).randbytes(3_000_000)
    (folder / "large").write_bytes(noise)
    (folder / "similar").write_bytes(noise + b"!")
    cli("repo", "create", "--repo", "r")
    cli("upload", folder, "r", "-m", "m")
    cli("store", "erase", "r:large", "--reason", "request", "--now", "--yes")
    states = _states(cli, "r")
    assert (states["large"], states["similar"]) == ("erased", "")
    cli("cat", "r:large", code=3)


def test_a_listing_that_marks_nothing_asks_no_more(cli: Cli, faces: str) -> None:  # noqa: F811
    assert "erased/" not in cli("ls", "faces", "-vv").err
    assert "list erased/" in cli("ls", "-l", "faces", "-vv").err
