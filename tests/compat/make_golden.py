"""Makes the golden store, its description and the golden vectors, always the same: python -m tests.compat.make_golden DIR

A golden store is kept for ever once a release has written its format; this makes the one of the format as it is now.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from blake3 import blake3
from tests.compat.builders import external_entry
from tests.compat.independent_reader import Store
from tests.compat.vectors import computed

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.dedup import load_segments, write_index
from sheaf.engine.commit.writer import Draft, Writer
from sheaf.engine.core import Core, create_store, open_store
from sheaf.engine.erase.locate import Finder
from sheaf.engine.erase.redact import redact
from sheaf.engine.erase.redact_names import Names
from sheaf.engine.log.record_log import repo_log, store_log
from sheaf.engine.log.resolve import Refs
from sheaf.engine.manifest.node_store import Nodes, pointer_of
from sheaf.engine.manifest.rows import folder_entry, row_of
from sheaf.engine.manifest.tree import Tree
from sheaf.format import keys
from sheaf.format.columns import U32, hashes_of
from sheaf.format.index_v1 import sorted_segment
from sheaf.format.moved_v1 import encode_moved
from sheaf.format.pack_v1 import decode_table, encode_head, encode_tail, pack_id
from sheaf.format.session_v1 import (
    Condemned,
    Damage,
    ErasedFile,
    Erasing,
    Notice,
    Receipt,
    Session,
    encode_condemned,
    seal,
)
from sheaf.model.entries import ChunkPlace, ExternalPlace, Kind, ManifestEntry, ObjectPlace
from sheaf.model.records import Author, DeleteBundle, MovePacks
from sheaf.repo.connect import connect
from sheaf.repo.repo import Repo
from sheaf.storage.open import open_backend
from sheaf.testing.clock import SteeredClock

AUTHOR = Author("Golden", "golden@example.org")
MTIME = 1_600_000_000_123_456_789
SECRET = b"a password that was erased\n"


def big(seed: int = 0, extra: int = 0) -> bytes:
    """72 MB that need little room: blocks of zeros that differ in a few bytes, then numbered lines."""
    block = bytes((1 << 18) - 32)
    blocks = [blake3(f"{seed * (n == 100)}/{n}".encode()).digest() + block for n in range(270)]
    return b"".join(blocks) + b"".join(b"%09d\n" % n for n in range(60_000 + extra))


def put(root: Path, path: str, content: bytes, mode: int = 0o644) -> None:
    """Write a file, with fixed times."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(mode)


def settle(root: Path) -> None:
    """Give everything below a folder its fixed mtime, and folders their mode."""
    for folder, folders, files in os.walk(root, topdown=False):
        for name in files + folders:
            path = Path(folder) / name
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
            os.utime(path, ns=(MTIME, MTIME + len(name)), follow_symlinks=False)


def first_tree(root: Path) -> None:
    """Every kind of thing that a folder may hold."""
    put(root, "secret.txt", SECRET)
    put(root, "a.txt", b"hello\n")
    put(root, "a-b.txt", b"sorts before a/\n")
    put(root, "a/b.txt", b"hello\n")
    put(root, "empty", b"")
    put(root, "run.sh", b"#!/bin/sh\necho hello\n", 0o755)
    put(root, "private", b"for the owner alone\n", 0o600)
    put(root, "data/big.bin", big())
    put(root, "data/medium.bin", b"".join(b"%d;" % (n * n) for n in range(40_000)))
    put(root, "Ünïcödé/日本語 \U0001f600.txt", "naïve\n".encode())
    put(root, "Ünïcödé/line\nbreak\ttab", b"control characters\n")
    put(root, "/".join(["deep"] * 30 + ["file"]), b"far down\n")
    (root / "nothing" / "here").mkdir(parents=True)
    (root / "link").symlink_to("a/b.txt")
    (root / "dangling").symlink_to("../nowhere/ö")


def make(target: Path) -> None:
    """The golden store in a new folder."""
    clock = SteeredClock("golden", 1_790_000_000)
    backend = open_backend(f"file://{target}?durability=none")
    create_store(backend, clock)
    core = Core(backend, open_store(backend), AUTHOR, clock=clock)
    with connect(f"file://{target}", author=AUTHOR, clock=clock) as store:
        faces = store.create_repo("first/name", "renamed later")
        with tempfile.TemporaryDirectory() as folder:
            _history(core, faces, Path(folder), clock)
        faces.rename("acme/datasets/faces")
        clock.tick()
        _places(core, store.create_repo("places"))
        clock.tick()
        _redacted(core, store.create_repo("redacted"), clock)
        clock.tick()
        store.create_repo("deleted").delete()
        store.create_repo("empty")
        run = store.runs.start(command=("train", "--epochs", "3"), inputs=("places@main",), environment={"LANG": "C"})
        clock.tick(60)
        store.runs.end(run, "succeeded", exit_code=0, outputs=("acme/datasets/faces@v2",))
        store.runs.start(command=("sleep",), environment={})
        _collected(core, faces, clock)
    core.close()


def _history(core: Core, repo: Repo, folder: Path, clock: SteeredClock) -> None:
    first_tree(folder)
    settle(folder)
    gone = repo.upload(folder, message="with a secret", branch=None, concurrency=1).bundle
    clock.tick()
    (folder / "secret.txt").unlink()
    first = repo.upload(folder, message="first", label="v1", meta={"source": "camera", "ü": "ö"}, concurrency=1).bundle
    clock.tick()
    latest = Refs(repo_log(core, repo.id), repo.name).get(first.id)
    repo_log(core, repo.id).append(
        lambda head: (DeleteBundle(gone.id, latest if head.state.latest == gone.id else None),)
    )
    repo.set_label("old", first.id)
    put(folder, "data/big.bin", big(1, 1000))
    put(folder, "new.txt", b"new\n")
    (folder / "empty").unlink()
    (folder / "run.sh").chmod(0o644)
    settle(folder)
    clock.tick()
    repo.upload(folder, message="second\nwith two lines", label="v2", concurrency=1)
    repo.delete_label("old")
    repo.create_branch("dev", "v1")
    clock.tick()
    attrs = {"content-type": "text/plain", "md5": "b1946ac92492d2347c6235b4d2611184", "meta.owner": "ünknown"}
    with repo.edit(message="an edit", branch="dev") as edit:
        edit.put("a.txt", b"hello\n", mtime_ns=MTIME, attrs=attrs)
        edit.remove("data")
        edit.symlink("also", "a.txt")
        edit.commit()
    repo.set_label("first-again", first.id)
    clock.tick()
    _diamond(repo, folder / "split", clock)


def _diamond(repo: Repo, folder: Path, clock: SteeredClock) -> None:
    diamond = repo.create_diamond()
    for n in range(2):
        clock.tick()
        part = folder / str(n)
        put(part, f"only-{n}.txt", b"%d\n" % n)
        put(part, "both.txt", b"both %d\n" % n)
        settle(part)
        diamond.add_split(part, split_id=f"part-{n}", concurrency=1)
    clock.tick()
    diamond.commit(message="joined", label="joined", branch="diamond")
    repo.create_diamond().cancel()


def _places(core: Core, repo: Repo) -> None:
    """A bundle with a whole object and two files elsewhere, one of them hashed."""
    content = b"PAR1 not really PAR1"
    hash = blake3(content).digest()
    with Writer(core, Nodes(core), repo_log(core, repo.id), repo.id, "upload") as writer:
        core.create(keys.stored_object(writer.open.id, hash), content)
        whole = ObjectPlace(writer.open.id)
        elsewhere = ExternalPlace("s3://bucket/known", '"etag-1"')
        rows = [
            row_of(external_entry("linked", "https://example.org/file?v=1", 1234, '"etag-2"', MTIME)),
            row_of(folder_entry("tables", 0o755, MTIME)),
            row_of(
                ManifestEntry("tables", "known", Kind.FILE, 0o644, MTIME, 5, blake3(b"12345").digest(), place=elsewhere)
            ),
            row_of(ManifestEntry("tables", "part-0.parquet", Kind.FILE, 0o644, MTIME, len(content), hash, place=whole)),
        ]
        writer.commit(writer.store.build(rows), 3, Draft("places", label="places"))


def _redacted(core: Core, repo: Repo, clock: SteeredClock) -> None:
    """A name that was taken out of two bundles; its content is still there."""
    content = b"what has a name that tells\n"
    for n in range(2):
        clock.tick()
        with repo.edit(message=f"{n}", label=f"v{n}") as edit:
            edit.put("a telling name", content, mtime_ns=MTIME)
            edit.put(f"{n}", b"%d\n" % n, mtime_ns=MTIME)
            edit.commit()
    clock.tick()
    redact(core, Finder(core, frozenset({blake3(content).digest()}), Names().is_done), Names())


# -- what gc and erase leave behind ------------------------------------------------------------------------------------


def _collected(core: Core, repo: Repo, clock: SteeredClock) -> None:
    place = _place(core, repo, "v1", "a.txt")
    assert isinstance(place, ChunkPlace)
    _move(core, place.pack, erase=blake3(SECRET).digest())
    _move(core, Contents(core).locate(place.pack, place.offset)[0])
    erased = Notice(blake3(SECRET).hexdigest(), core.now(), "asked for", AUTHOR)
    core.create(keys.erased(blake3(SECRET).digest()), seal("erased", erased))
    heads = {"": store_log(core).head().n, repo.id: repo_log(core, repo.id).head().n}
    dead, moving, node = (frozenset({blake3(name).digest()}) for name in (b"dead", b"moving", b"node"))
    condemned = Condemned(
        clock.new_id(), dead, moving, node, frozenset({keys.stored_object(repo.id, bytes(32))}), heads
    )
    core.create(keys.condemned(condemned.generation), encode_condemned(condemned))
    session = Session(clock.new_id(), repo.id, "upload", core.now(), heads[repo.id], AUTHOR, "elsewhere")
    core.create(keys.session(session.id), seal("session", session))
    stood = ErasedFile(repo.id, session.id, "secret.txt")
    receipt = Receipt(clock.new_id(), core.now(), "asked for", (erased.content,), (stood,), 1, 2, AUTHOR)
    core.create(keys.receipt(receipt.id), seal("receipt", receipt))
    begun, content = clock.new_id(), blake3(b"a table").hexdigest()
    begun_so = Erasing(begun, (content,), (content,), blake3(f"{begun} condition".encode()).hexdigest(), 3, ("name",))
    core.create(keys.erasing(begun), seal("erasing", begun_so))
    lost = keys.pack(blake3(b"dead").digest())
    core.create(keys.damaged(lost), seal("damaged", Damage(lost, core.now(), "it is missing", AUTHOR)))
    _erased_later(core, clock)


def _erased_later(core: Core, clock: SteeredClock) -> None:
    """A notice that came from another store, and a receipt that names files left in ``tmp/`` and a mount's spill."""
    content = blake3(b"erased elsewhere")
    notice = Notice(content.hexdigest(), core.now(), "asked for", AUTHOR, 16, origin=clock.new_id())
    core.create(keys.erased(content.digest()), seal("erased", notice))
    more = Receipt(
        clock.new_id(), core.now(), "asked for", (blake3(SECRET).hexdigest(),), (), 0, 2, AUTHOR,
        unfinished=1, left=("tmp/1-a",), spills=("/mnt/spill",),
    )  # fmt: skip
    core.create(keys.receipt(more.id), seal("receipt", more))


def _place(core: Core, repo: Repo, label: str, path: str) -> object:
    bundle = Refs(repo_log(core, repo.id), repo.name).resolve(f"label:{label}")
    entry = Tree(Nodes(core), pointer_of(bundle.root)).find(path)
    return entry.place if entry else None


def _move(core: Core, old: bytes, erase: bytes = b"") -> None:
    """Replace a pack by another one, in which its chunks stand in the opposite order."""
    session = core.clock.new_id()
    for name, segment in load_segments(core):
        if old in {pack.tobytes() for pack in segment.packs}:
            core.backend.delete(name)
    new, data = pack_id(session, 0), core.backend.get(keys.pack(old))
    table = decode_table(data, len(data), "pack")
    kept = [i for i in reversed(range(len(table.hashes))) if table.hashes[i].tobytes() != erase]
    pack, rows = bytearray(encode_head(session, 0)), [(int(at), None, 0, 0) for at in table.offsets]
    forward: dict[int, tuple[int, bytes | None, int, int]] = {row[0]: row for row in rows}
    for i in kept:
        offset, stored = int(table.offsets[i]), int(table.stored[i])
        forward[offset] = (offset, new, len(pack), stored)
        pack += data[offset : offset + stored]
    hashes = hashes_of([table.hashes[i].tobytes() for i in kept])
    core.create(keys.pack(new), bytes(pack) + encode_tail(hashes, table.raw[kept], table.stored[kept]))
    core.create(keys.moved(old, 0), encode_moved(forward.values(), session))
    zeros, places = np.zeros(len(kept), U32), [forward[int(table.offsets[i])] for i in kept]
    offsets, lengths = np.array([place[2] for place in places], U32), np.array([place[3] for place in places], U32)
    write_index(core, session, sorted_segment(hashes_of([new]), hashes, zeros, offsets, lengths))
    store_log(core).append(lambda head: (MovePacks(session, (old.hex(),)),))
    core.backend.delete(keys.pack(old))


def main(target: Path) -> None:
    """Everything below a folder: the store, what it holds, and the vectors."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    make(target / "store")
    for name, value in (("expected", Store(target / "store").everything()), ("vectors", computed())):
        (target / f"{name}.json").write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
