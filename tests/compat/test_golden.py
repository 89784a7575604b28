"""Stores of every format that a release has written are read, completely, by this release and by the specification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.compat.independent_format import Damaged
from tests.compat.independent_reader import Store
from tests.compat.make_golden import make
from tests.compat.stores import alive, described, expected, golden_stores, independent, independently

import sheaf
from sheaf.errors import InvalidInput, Refused, SheafError

GOLDEN = golden_stores("v*")


def test_this_release_reads_all_of_it(golden: Path) -> None:
    with sheaf.connect(str(golden / "store")) as store:
        assert store.id == expected(golden)["id"]
        assert described(store) == alive(expected(golden))


def test_every_byte_is_what_it_was(golden: Path) -> None:
    with sheaf.connect(str(golden / "store")) as store:
        for info in store.repos():
            for bundle in store.repo(info.name).bundles():
                if "linked" not in {entry.path for entry in bundle.ls()}:  # what is elsewhere is elsewhere
                    assert bundle.verify().files == bundle.files


def test_nothing_is_wrong_with_it(golden: Path) -> None:
    with sheaf.connect(str(golden / "store")) as store:
        report = store.check(read_data=True)
    assert report.problems == []
    assert report.counts["bundles"] == sum(len(repo["bundles"]) for repo in alive(expected(golden)).values())


def test_the_specification_alone_reads_all_of_it(golden: Path) -> None:
    assert independently(golden / "store") == expected(golden)


def test_it_holds_what_a_golden_store_should(golden: Path) -> None:
    entries = [
        entry
        for repo in expected(golden)["repos"].values()
        for bundle in repo["bundles"].values()
        for entry in bundle["entries"].values()
    ]
    assert {entry["kind"] for entry in entries} == {"file", "symlink", "folder", "external"}
    assert {entry["place"] for entry in entries} == {0, 1, 2, 3, 4}
    assert any("attrs" in entry for entry in entries)
    folders = {path.relative_to(golden / "store").parts[0] for path in (golden / "store").rglob("*") if path.is_file()}
    assert folders >= {"condemned", "erased", "index", "moved", "objects", "packs", "runs", "sessions", "sheaf.json"}
    store = Store(golden / "store")
    recipes = [
        list(store._recipe(row))
        for repo in store.log.state["repos"]
        for bundle in store.bundles(repo).values()
        for row in store.rows(bundle)
        if row["place"] == 2
    ]
    assert any(len(parts) > 1 and sum(map(len, parts)) > 256 for parts in recipes)


def test_an_erased_content_is_not_taken_again(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "again.txt").write_bytes(b"a password that was erased\n")
    with sheaf.connect(str(golden / "store")) as store, pytest.raises(Refused, match="was erased"):
        store.repo("acme/datasets/faces").upload(tmp_path / "new", message="again")


def test_this_release_writes_on(golden: Path, tmp_path: Path) -> None:
    with sheaf.connect(str(golden / "store")) as store:
        repo = store.repo("acme/datasets/faces")
        before = repo.bundle("v2")
        before.download(tmp_path / "copy")
        (tmp_path / "copy" / "another.txt").write_bytes(b"another\n")
        upload = repo.upload(tmp_path / "copy", message="another", label="v3")
        assert upload.new_bytes < 20_000  # the file, and a recipe that knows where gc has put the chunks
        assert [(change.kind, change.path) for change in before.diff(upload.bundle)] == [("added", "another.txt")]
        (tmp_path / "copy" / "another.txt").unlink()
        assert repo.upload(tmp_path / "copy", message="back").bundle.version == before.version
        assert described(store) == alive(independently(golden / "store"))
        assert store.check(read_data=True).problems == []


def test_a_bundle_written_out_is_what_a_download_makes(golden: Path, tmp_path: Path) -> None:
    with sheaf.connect(str(golden / "store")) as store:
        bundle = store.repo("acme/datasets/faces").bundle("v1")
        bundle.download(tmp_path / "ours")
        (tmp_path / "theirs").mkdir()
        independent(golden / "store", bundle.id, tmp_path / "theirs")
    assert looked(tmp_path / "ours") == looked(tmp_path / "theirs")


def looked(root: Path) -> dict[str, tuple[Any, ...]]:
    """Everything that is below a folder."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in root.rglob("*"):
        stat = path.lstat()
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        times = () if path.is_symlink() else (stat.st_mtime_ns,)
        found[str(path.relative_to(root))] = (stat.st_mode, content, *times)
    return found


@pytest.mark.parametrize("folder", ["packs", "nodes", "moved", "objects", "log", "repos", "sheaf.json"])
def test_both_readers_notice_every_flipped_bit(golden: Path, folder: str) -> None:
    """The readers can fail: of each kind of object one is damaged, in the middle."""
    where = golden / "store" / folder
    victims = sorted(path for path in [where, *where.rglob("*")] if path.is_file())
    victim = max(victims, key=lambda path: path.stat().st_size)  # what is small may belong to what was deleted
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 4
    victim.chmod(0o600)
    victim.write_bytes(data)
    with pytest.raises((Damaged, ValueError, LookupError)):
        Store(golden / "store").everything()
    with pytest.raises(SheafError) as caught:
        _read_all(golden)
    assert not isinstance(caught.value, InvalidInput)


def _read_all(golden: Path) -> None:
    with sheaf.connect(str(golden / "store")) as store:
        for info in store.repos():
            for bundle in store.repo(info.name).bundles():
                if bundle.message != "places":
                    bundle.verify()
                else:
                    bundle.read("tables/part-0.parquet")
            list(store.repo(info.name)._context.log.records())
        list(store._connected.log.records())


def test_the_script_makes_the_same_store_again(tmp_path: Path) -> None:
    make(tmp_path / "store")
    assert Store(tmp_path / "store").everything() == expected(GOLDEN[-1])
