"""Bytes that killed writers left outside of all keys leave with an erasure, and with a gc; a check names them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture
from tests.erase.builders import SECRET, hash_of
from tests.storage.test_unfinished import writer

import sheaf
from sheaf.format import keys
from sheaf.mount.journal import About, Spill


@pytest.fixture
def store(tmp_path: Path) -> Iterator[sheaf.Store]:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/secret").write_bytes(SECRET)
    (tmp_path / "in/other").write_bytes(b"other")
    with sheaf.init(str(tmp_path / "store")) as store:
        store.create_repo("faces").upload(tmp_path / "in", message="m")
        yield store


def leave_copies(root: Path) -> list[Path]:
    """What a writer leaves that is killed between the link and the unlink, or before the link: each pack once more."""
    packs = [path for path in (root / "packs").rglob("*") if path.is_file()]
    left = [root / "tmp" / f"{n}-killed-{n}" for n in range(2 * len(packs))]
    for path, linked, copied in zip(packs, left[::2], left[1::2], strict=True):
        os.link(path, linked)
        copied.write_bytes(path.read_bytes())
    return left


@contextmanager
def live_writer(root: Path) -> Iterator[None]:
    """Somebody who is about to give a pack its name, until the end."""
    with writer(root, "link", lambda other: other.create(keys.pack(bytes(32)), b"half")):
        yield


def test_an_erasure_takes_what_killed_writers_left(store: sheaf.Store, tmp_path: Path) -> None:
    left = leave_copies(tmp_path / "store")
    receipt = store.erasure.erase(content=hash_of(SECRET), reason="asked for", now=True)
    assert (receipt.unfinished, receipt.left) == (len(left), ())
    assert not any(path.exists() for path in left)
    assert store.erasure.receipts() == [receipt]


def test_an_erasure_names_what_a_writer_may_hold(store: sheaf.Store, tmp_path: Path) -> None:
    leave_copies(tmp_path / "store")
    with live_writer(tmp_path / "store"):
        receipt = store.erasure.erase(content=hash_of(SECRET), reason="asked for", now=True)
        assert list(receipt.left) == [f"tmp/{path.name}" for path in (tmp_path / "store/tmp").iterdir()]


def test_an_erasure_takes_what_was_left_in_replicas_and_caches(tmp_path: Path, store: sheaf.Store) -> None:
    store.replicas.add(str(tmp_path / "copy"), policy="all")
    left = leave_copies(tmp_path / "copy")
    with sheaf.connect(str(tmp_path / "store"), cache=tmp_path / "cache") as again:
        for folder in (f"blocks/{again.id}/ab", f"objects/{again.id}-0123/nodes/ab"):
            left.append(tmp_path / "cache" / folder / ".new-x1")
            left[-1].parent.mkdir(parents=True)
            left[-1].write_bytes(SECRET)
        again.erasure.erase(content=hash_of(SECRET), reason="asked for", now=True)
    assert not any(path.exists() for path in left)


def test_an_erasure_warns_of_what_a_writer_of_a_replica_may_hold(
    tmp_path: Path, store: sheaf.Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.replicas.add(str(tmp_path / "copy"), policy="all")
    with live_writer(tmp_path / "copy"), sheaf.connect(str(tmp_path / "store")) as again:
        again.erasure.erase(content=hash_of(SECRET), reason="asked for", now=True)
    assert "keeps unfinished writes until `sheaf store replicate`: tmp/" in caplog.text


def test_gc_gives_back_what_killed_writers_left(store: sheaf.Store, tmp_path: Path) -> None:
    left = leave_copies(tmp_path / "store")
    size = sum(path.stat().st_size for path in left[1::2])  # a second name takes nothing
    with live_writer(tmp_path / "store"):
        would = store.gc(dry_run=True)
        assert all(path.exists() for path in left)
        done = store.gc(grace=0)
        assert [found.name for found in would.unfinished] == [found.name for found in done.unfinished]
        assert [bool(found.kept) for found in done.unfinished].count(True) == 1
        assert (would.bytes, done.bytes) == (size, size)
        assert not any(path.exists() for path in left)
        assert len(os.listdir(tmp_path / "store/tmp")) == 1
    assert store.check(read_data=True).ok


def test_commands_name_them(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    root = cli.home / ".local/share/sheaf/store"
    (tmp_path / "in").mkdir()
    (tmp_path / "in/secret").write_bytes(SECRET)
    cli("repo", "create", "--repo", "faces")
    cli("bundle", "upload", "--repo", "faces", "--path", tmp_path / "in", "--message", "m")
    left = leave_copies(root)
    checked = cli("store", "check")
    size = left[1].stat().st_size
    assert f"unfinished\ttmp/{left[1].name}\t{size}\tits writer no longer runs" in checked.out
    assert "sheaf store gc" in checked.err
    listed = json.loads(cli("--json", "store", "check").out)
    assert {"name": f"tmp/{left[1].name}", "size": size, "kept": ""} in listed["unfinished"]
    assert listed["ok"]
    assert "2 unfinished writes" in cli("store", "gc").out
    assert "unfinished" not in cli("store", "check").out
    leave_copies(root)
    with live_writer(root):
        erased = cli("store", "erase", blake3(SECRET).hexdigest(), "--reason", "x", "--now", "--yes")
    assert "2 unfinished writes were removed" in erased.out
    assert "warning: 1 unfinished write may contain the bytes" in erased.err


# -- what mounts keep --------------------------------------------------------------------------------------------------


def test_a_receipt_names_spills_that_may_hold_the_bytes(
    store: sheaf.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    mounts = tmp_path / "data/sheaf/mounts"
    for name, of, files in (("full", store.id, 1), ("empty", store.id, 0), ("theirs", "another", 1)):
        spill = Spill.begin(mounts / name, About(of, "faces", "id", None, "main", "m", None))
        for n in range(files):
            Path(spill.path(n + 1)).write_bytes(SECRET)
        spill.close()
    (mounts / "odd").mkdir()
    (mounts / "odd/files").write_text("no folder")
    receipt = store.erasure.erase(content=hash_of(SECRET), reason="x", now=True)
    assert receipt.spills == (str(mounts / "full"),)
    assert store.erasure.receipts()[-1].spills == receipt.spills


def test_the_command_warns_of_spills(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    cli("repo", "create", "--repo", "r")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/secret").write_bytes(SECRET)
    cli("bundle", "upload", "--repo", "r", "--path", tmp_path / "in", "--message", "m")
    monkeypatch.setattr("sheaf.repo.mount_spills.spills_of", lambda folder, store: [Path("/spilled/1")])
    done = cli("store", "erase", hash_of(SECRET), "--reason", "x", "--now", "--yes")
    assert "warning: uncommitted changes of writable mounts" in done.err and "/spilled/1" in done.err
