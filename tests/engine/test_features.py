"""A store that takes more than this program knows is refused, by the name of what it takes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from tests.engine.builders import Place, commit, open_core, replaced

from sheaf.engine.core import create_store
from sheaf.engine.log.record_log import store_log
from sheaf.errors import AlreadyExists, NotFound, Unsupported
from sheaf.format import keys
from sheaf.format.record_v1 import encode_record
from sheaf.format.sealed import seal
from sheaf.format.store_v1 import Chunker, StoreConfig, decode_config, encode_config
from sheaf.model.records import SetFeatures
from sheaf.repo.connect import connect, init
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.clock import SteeredClock


def ask_for(place: Place, *, read: tuple[str, ...] = (), write: tuple[str, ...] = ()) -> None:
    """What a newer program writes into the store's log."""
    store_log(open_core(place.backend, "newer")).append(lambda head: (SetFeatures(read, write),))


def test_an_unknown_read_feature_refuses_everything_by_name(place: Place) -> None:
    ask_for(place, read=("holograms",))
    with pytest.raises(Unsupported, match="'holograms'"):
        place.store()


CHANGES: dict[str, Callable[[Place, Store, Repo], object]] = {
    "repo create": lambda place, store, repo: store.create_repo("new"),
    "repo rename": lambda place, store, repo: repo.rename("new"),
    "repo delete": lambda place, store, repo: repo.delete(),
    "upload": lambda place, store, repo: repo.upload(place.folder("in", {"a": b"a"}), message="m"),
    "edit": lambda place, store, repo: commit(repo, {"a": b"other"}),
    "label set": lambda place, store, repo: repo.set_label("new", "main"),
    "label delete": lambda place, store, repo: repo.delete_label("v1"),
    "branch create": lambda place, store, repo: repo.create_branch("new"),
    "branch delete": lambda place, store, repo: repo.delete_branch("main"),
    "diamond": lambda place, store, repo: repo.create_diamond(),
    "run": lambda place, store, repo: store.runs.start(environment={}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_unknown_write_feature_refuses_changes_by_name_and_lets_read(place: Place, change: str) -> None:
    repo = place.repo()
    repo.set_label("v1", commit(repo, {"a": b"a"}))
    ask_for(place, write=("holograms",))
    store = place.store()
    before = {stat.key for stat in place.backend.list()}
    for opened in (store.repo("faces"), repo):
        assert opened.bundle("v1").read("a") == b"a"
        with pytest.raises(Unsupported, match="holograms"):
            CHANGES[change](place, store, opened)
    left = {stat.key for stat in place.backend.list()} - before
    assert not [key for key in left if "log/" in key], "nothing became true"


def test_a_diamond_that_was_begun_is_not_committed_either(place: Place) -> None:
    diamond = place.repo().create_diamond()
    diamond.add_split(place.folder("in", {"a": b"a"}))
    ask_for(place, write=("holograms",))
    for change in (lambda: diamond.commit(message="m"), lambda: diamond.add_split(place.scratch / "in", split_id="x")):
        with pytest.raises(Unsupported, match="holograms"):
            change()


def test_features_may_be_taken_back(place: Place) -> None:
    ask_for(place, write=("holograms",))
    ask_for(place)
    assert commit(place.repo(), {"a": b"a"})


@pytest.mark.parametrize(
    "config", [StoreConfig("id", "2026", hash="sha3"), StoreConfig("id", "2026", chunker=Chunker("other"))]
)
def test_an_unknown_hash_or_chunker_is_refused_by_name(config: StoreConfig) -> None:
    backend = MemoryBackend()
    backend.create(keys.CONFIG, encode_config(config))
    with pytest.raises(Unsupported, match=r"sha3|other"):
        Store(backend)


def test_an_unknown_operation_is_refused(place: Place) -> None:
    core = open_core(place.backend, "newer")
    log = store_log(core)
    head = log.head()
    record = log._compose(head, ())[0]
    strange = msgspec.structs.replace(record, ops=[{"op": "enchant", "id": "x"}])
    place.backend.create(keys.log_record("", head.n + 1), encode_record(strange))
    with pytest.raises(Unsupported, match="operation"):
        list(store_log(open_core(place.backend, "reader")).records())


def test_fields_of_a_later_version_are_ignored() -> None:
    class Later(StoreConfig, frozen=True):
        colour: str = "blue"

    config = decode_config(seal("store", Later("id", "2026")))
    assert config.id == "id"


# -- stores ------------------------------------------------------------------------------------------------------------


def test_a_store_is_made_once() -> None:
    backend = MemoryBackend()
    create_store(backend, SteeredClock("one"))
    with pytest.raises(AlreadyExists, match="store"):
        create_store(backend, SteeredClock("two"))


def test_there_is_no_store_where_there_is_none() -> None:
    with pytest.raises(NotFound, match="no store"):
        connect("memory://nothing-there")
    with connect("memory://made-at-once", create=True) as made, connect("memory://made-at-once") as again:
        assert made.id == again.id
    with pytest.raises(AlreadyExists):
        init("memory://made-at-once", probe=False)


def test_a_damaged_store_says_so(place: Place) -> None:
    whole = place.backend.get(keys.CONFIG)
    replaced(place.backend, keys.CONFIG, whole[:-5])
    with pytest.raises(Exception, match=r"sheaf\.json"):
        place.store()
