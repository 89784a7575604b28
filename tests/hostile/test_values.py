"""One crafted value anywhere in the store: `check` and `repair` say what they find there, and go on to all the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from blake3 import blake3
from tests.engine.builders import GENERATION, commit, noise, replaced
from tests.hostile.builders import SESSION, Hostile, batch_of
from tests.repair.builders import World, all_bytes, build, flip

from sheaf.engine.check.affected_files import name_files
from sheaf.engine.check.check import PackSelection, check_store
from sheaf.engine.check.report import CheckReport
from sheaf.engine.core import Core
from sheaf.engine.manifest.node_store import pointer_of
from sheaf.engine.sessions.sessions import condemned_lists
from sheaf.errors import Corrupt, SheafError
from sheaf.format import keys
from sheaf.format.columns import U32, hashes_of
from sheaf.format.index_v1 import encode_index, sorted_segment
from sheaf.format.moved_v1 import encode_moved
from sheaf.format.pack_v1 import encode_head, encode_tail, pack_id
from sheaf.format.replica_v1 import Behind, ReplicaNotice
from sheaf.format.sealed import seal
from sheaf.format.session_v1 import Condemned, encode_condemned
from sheaf.model.entries import ChunkPlace, ExternalPlace, Kind, ManifestEntry, ObjectPlace, RecipePlace
from sheaf.model.ids import ksuid
from sheaf.model.records import MovePacks
from sheaf.repo.store import Store
from sheaf.testing.clock import SteeredClock

OUT = "../../../etc/passwd"
ODD: dict[type, tuple[Any, ...]] = {str: (OUT,), int: (-1, 10**30), bool: ("x",)}
HASH = blake3(b"x").digest()


# -- sealed JSON -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A store with an object of each kind, in which something else is damaged, too."""
    made = build(tmp_path_factory.mktemp("world"))
    with made.process() as store:
        flip(made.primary, keys.node(pointer_of(store.repo("plates").bundle()._descriptor.root).id))
    made.primary.create(keys.replica(3), seal("replica", ReplicaNotice(3, "mem:c", "2026-01-01T00:00:00Z")))
    made.primary.create(keys.behind("0" * 16, SESSION), seal("behind", Behind("mem:c", "x", "2026-01-01T00:00:00Z")))
    return made


def of_faces(world: World) -> dict[str, bytes]:
    """The sealed JSON objects but for those of the repo in which something else is damaged, and `sheaf.json`."""
    with world.process() as store:
        plates = keys.repo(store.repo("plates").bundle().repo_id)
    found = {key: data for key, data in all_bytes(world.primary).items() if data.startswith(b'{"sheaf":')}
    return {key: data for key, data in found.items() if not key.startswith(plates) and key != keys.CONFIG}


def crafted(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The object with another value in the place of each one that it has: (where, bytes with a right hash)."""
    value = {name: held for name, held in json.loads(data).items() if name not in ("sheaf", "blake3")}
    kind = json.loads(data)["sheaf"].partition("/")[0]
    for path, held in _values(value):
        others = (*ODD.get(type(held), ()), None) if not isinstance(held, dict | list) else (None, [], {OUT: OUT})
        for other in others:
            where = ".".join(name for name in path if isinstance(name, str) and len(name) < 20)
            yield f"{kind}: {where} = {other!r}", seal(kind, _put(value, path, other))


def _values(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if path:
        yield path, value
    for key, held in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _values(held, (*path, key))


def _put(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    changed = value.copy()
    changed[path[0]] = other if len(path) == 1 else _put(value[path[0]], path[1:], other)
    return changed


KINDS = ("log/", "repos/", "sessions/", "erased/", "receipts/", "runs/", "replica/", "behind/")


@pytest.mark.parametrize("kind", KINDS)
def test_each_value_of_small_objects(world: World, kind: str) -> None:
    said = {problem.key for problem in world.repair(0.0, is_dry=True).found.problems}
    chosen = {key: data for key, data in of_faces(world).items() if key.startswith(kind)}
    assert chosen
    tried = set[str]()
    for key, data in _unlike(chosen):
        for where, other in crafted(data):
            if where in tried:
                continue
            tried.add(where)
            attacked = world.copy()
            replaced(attacked.primary, key, other)
            core = Core(attacked.primary, _config(attacked))
            report = check_store(core)
            name_files(core, report)
            assert said <= {problem.key for problem in report.problems}, f"{key}: {where}"


def _unlike(objects: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """Of objects with the same fields one."""
    return list({str(_names(json.loads(data))): (key, data) for key, data in objects.items()}.values())


def _names(value: Any) -> list[Any]:
    """The fields of an object, ids and places in lists aside."""
    return [[name for name in path if isinstance(name, str) and len(name) < 20] for path, _ in _values(value)]


def _config(world: World) -> Any:
    from sheaf.engine.core import open_store

    return open_store(world.primary)


def test_a_repair_goes_on_as_well(world: World) -> None:
    """The damage that stands elsewhere is repaired although a record of another repo makes no sense."""
    attacked = world.copy()
    for key, data in of_faces(world).items():
        if "/log/" in key and key.startswith(keys.REPOS):
            record = json.loads(data)
            ops = [op for op in record["ops"] if op["op"] == "add-bundle"]
            for op in ops:
                op["bundle"]["root"]["id"] = OUT
            fields = {name: held for name, held in record.items() if name not in ("sheaf", "blake3")}
            replaced(attacked.primary, key, seal("record", fields))
    with pytest.raises(SheafError):  # the place is a copy by its own words
        attacked.repair(quarantine=True)
    for stat in list(attacked.primary.list(keys.REPLICA)):
        attacked.primary.delete(stat.key)
    done = attacked.repair(0.0, quarantine=True)
    assert "plates" in {found.repo_name for found in done.quarantined}


# -- rows --------------------------------------------------------------------------------------------------------------


class Shared(Hostile):
    """A store in which another repo is damaged."""

    def __init__(self) -> None:
        super().__init__()
        with Store(self.backend, clock=SteeredClock("other")) as store:
            repo = store.create_repo("other")
            commit(repo, {"lost": noise(3000)})
            self.damaged = keys.node(pointer_of(repo.bundle()._descriptor.root).id)
        flip(self.backend, self.damaged)

    def check(self) -> CheckReport:
        """A check with all bytes, as :meth:`Hostile.core` sees it. It says what is wrong elsewhere, and more."""
        report = check_store(self.core, reading=PackSelection(1.0))
        name_files(self.core, report)
        assert self.damaged in {problem.key for problem in report.problems}
        return report


def _file(**changes: Any) -> ManifestEntry:
    fields = {"place": ChunkPlace(bytes(32), 0, 5), "size": 5, "content": HASH, **changes}
    return ManifestEntry("", "x", fields.pop("kind", Kind.FILE), **fields)


ROWS: dict[str, ManifestEntry] = {
    "an object's session": _file(place=ObjectPlace(OUT)),
    "an object's session, empty": _file(place=ObjectPlace("")),
    "an external URL": _file(kind=Kind.EXTERNAL, place=ExternalPlace("file:///etc/passwd\n" + OUT)),
    "a size": _file(size=-1),
    "a size that overflows": _file(size=2**63 - 1),
    "an offset beyond its pack": _file(place=ChunkPlace(bytes(32), 2**32 - 1, 2**32 - 1)),
    "no bytes": _file(place=ChunkPlace(bytes(32), 0, 0)),
    "a recipe in no pack": _file(place=RecipePlace(HASH, bytes(32), 2**32 - 1, 2**32 - 1)),
    "setuid": _file(mode=0o6755),
    "a mode": _file(mode=0xFFFF),
    "a time, and no place": _file(mtime=-(2**63)),
    "a late time, and no place": _file(mtime=2**63 - 1),
    "a target": _file(kind=Kind.SYMLINK, target="x" * 100_000, place=None),
}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_value_of_a_row(name: str) -> None:
    store = Shared()
    store.rows(ROWS[name])
    assert len(store.check().problems) > 1


def test_a_file_that_would_run_as_another_user_is_refused_unread() -> None:
    store = Shared()
    id = store.rows(_file(mode=0o4755, content=blake3(b"").digest(), size=0, place=None))
    with pytest.raises(Corrupt, match="bits other than permissions"):
        store.repo().bundle(id).tree.find("x")


@pytest.mark.parametrize("session", ["", OUT, "../" * 9, "a" * 27 + "/../x", "z" * 27, "\0"])
def test_the_session_of_an_object(session: str) -> None:
    """It becomes part of a key, so a reader refuses the leaf by name before anything is asked of the store."""
    store = Shared()
    id = store.rows(_file(place=ObjectPlace(session)))
    with pytest.raises(Corrupt, match="invalid session"):
        store.repo().bundle(id).read("x")
    store.check()


@pytest.mark.parametrize("live", [-1, 2**63 - 1])
def test_bytes_that_a_leaf_uses_of_a_pack(live: int) -> None:
    store = Shared()
    batch = batch_of([_file()])
    at = batch.schema.get_field_index("packs")
    uses = pa.array([[{"pack": bytes(32), "live": live}]], batch.schema.field(at).type)
    store.bundle(store.leaf(batch.set_column(at, batch.schema.field(at), uses)))
    store.check()


@pytest.mark.parametrize("column", ["rows", "size", "length"])
@pytest.mark.parametrize("value", [-(2**63), -1, 2**63 - 1])
def test_numbers_of_a_child(column: str, value: int) -> None:
    from msgspec.structs import replace

    store = Shared()
    first = replace(store.leaf(batch_of([_file()])), name="x")
    store.bundle(store.inner([replace(first, **{column: value})], 1))
    store.check()


# -- tables ------------------------------------------------------------------------------------------------------------


def test_an_index_that_leads_out_of_packs() -> None:
    store = Shared()
    one = hashes_of([HASH])
    columns = (np.array([0], U32), np.array([2**32 - 1], U32), np.array([2**32 - 1], U32))
    data = encode_index(OUT, sorted_segment(hashes_of([bytes(32)]), one, *columns), (OUT,))
    store.backend.create(keys.index(0, SESSION, blake3(data).digest()), data)
    store.check()


def test_a_pack_with_impossible_lengths() -> None:
    store = Shared()
    head = encode_head(SESSION, 0)
    data = head + encode_tail(hashes_of([HASH]), [2**32 - 1], [2**32 - 1])
    store.backend.create(keys.pack(pack := pack_id(SESSION, 0)), data)
    store.rows(_file(place=ChunkPlace(pack, 0, 5)))
    assert keys.pack(pack) in {problem.key for problem in store.check().problems}


def test_packs_that_were_moved_in_a_circle() -> None:
    store = Shared()
    a, b = blake3(b"a").digest(), blake3(b"b").digest()
    from sheaf.engine.log.record_log import store_log

    store_log(store.core).append(lambda head: (MovePacks(SESSION, (a.hex(), b.hex())),))
    for here, there in ((a, b), (b, a)):
        store.backend.create(keys.moved(here, 0), encode_moved([(0, there, 0, 5)], SESSION))
    store.rows(_file(place=ChunkPlace(a, 0, 5)))
    assert keys.pack(a) in {problem.key for problem in store.check().problems}
    with Store(store.backend, clock=SteeredClock("gc")) as opened, pytest.raises(SheafError):
        opened.gc(grace=0)


@pytest.mark.parametrize("key", ["sheaf.json", f"repos/{SESSION}/log/1", "objects/../sheaf.json", OUT, "", "packs/x"])
def test_gc_deletes_no_other_objects_than_its_own_kind(key: str) -> None:
    store = Shared()
    none: frozenset[bytes] = frozenset()
    data = encode_condemned(Condemned(GENERATION, none, none, none, frozenset({"objects/" + "x" * 30}), {}))
    wrong = data[:-32].replace(b'"objects/' + b"x" * 30 + b'"', json.dumps(key).encode().ljust(40))
    from sheaf.format.envelope import sealed

    store.backend.create(keys.condemned(GENERATION), sealed(wrong))
    with pytest.raises(Corrupt):
        condemned_lists(store.core)
    assert keys.condemned(GENERATION) in {problem.key for problem in store.check().problems}


@pytest.mark.parametrize(
    "key",
    [
        "replica/x.json",
        f"repos/{SESSION}/log/x/y.json",
        "log/x/y.json",
        "erased/x",
        "sessions/x.json",
        "moved/00/x/y",
        "keys/x.json",
        "runs/x/start.json",
        "behind/x/y.json",
        "packs/xx/y",
        "nodes/xx/y",
        "index/x/y",
        "condemned/x",
        "receipts/x.json",
        f"repos/{SESSION}/diamonds/x/splits/y/done.json",
    ],
)
def test_an_object_that_belongs_nowhere(key: str) -> None:
    store = Shared()
    store.backend.create(key, b"x")
    if key != "log/x/y.json":  # then nobody knows which repos there are but for the records before it
        store.check()
    else:
        assert check_store(store.core).problems


def test_ids_that_are_none_are_refused() -> None:
    for text in ("", OUT, "z" * 27, ksuid(0, bytes(16)) + "0"):
        with pytest.raises(Corrupt):
            keys.repo(text)


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    """A download of such a bundle leaves the files that are sound."""
    store = Shared()
    id = store.rows(_file(place=ObjectPlace(OUT)))
    with pytest.raises(Corrupt):
        store.repo().bundle(id).download(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")] == []
