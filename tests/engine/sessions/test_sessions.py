"""Sessions: registered first, looked around next, and nothing condemned is ever referenced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.engine.builders import (
    Interrupted,
    Place,
    Recorder,
    commit,
    condemn,
    flipped,
    nodes_in,
    noise,
    open_core,
    packs_of,
    replaced,
    sweep,
)

from sheaf.engine.core_limits import DEFAULT
from sheaf.engine.log.record_log import repo_log
from sheaf.engine.sessions.sessions import list_sessions, open_session
from sheaf.errors import Conflict, Corrupt, Denied, NotFound, SheafError, Unavailable
from sheaf.format import keys
from sheaf.model.records import VoidSession
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.storage.port import LARGEST, Backend
from sheaf.testing.faults import FaultyBackend
from sheaf.testing.invariants import assert_complete, assert_sound

FILES = {"small": b"small", "folder/text": b"text " * 3000, "folder/big": noise(600_000)}


def upload(place: Place, repo: Repo, name: str = "in", files: dict[str, bytes] = FILES) -> Bundle:
    return repo.upload(place.folder(name, files), message="m").bundle


def edit(place: Place, repo: Repo) -> Bundle:
    return repo.bundle(commit(repo, FILES))


def diamond(place: Place, repo: Repo) -> Bundle:
    made = repo.create_diamond()
    made.add_split(place.folder("split", FILES))
    return made.commit(message="m")


WRITES = (upload, edit, diamond)
each_write = pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
Write = Callable[[Place, Repo], Bundle]


# -- order -------------------------------------------------------------------------------------------------------------


@each_write
def test_a_session_is_registered_before_anything_is_looked_at(place: Place, write: Write) -> None:
    commit(place.repo(), {"first": b"first"})
    recorder = Recorder(place.backend)
    repo = place.repo(recorder)
    recorder.calls.clear()
    write(place, repo)
    order = [
        recorder.at("create", "sessions/"),
        recorder.at("list", "condemned/"),
        recorder.at("list", "index/"),
        recorder.at("create", "packs/"),
        recorder.at("create", "index/"),
        recorder.at("create", "nodes/"),
        recorder.at("create", "repos/") if write is not diamond else recorder.at("create", f"repos/{repo.id}/log/"),
    ]
    assert order == sorted(order)
    assert recorder.calls[-1][1].startswith("sessions/") or not list(place.backend.list("sessions/"))


@each_write
def test_every_look_at_the_index_follows_one_at_the_condemned(place: Place, write: Write) -> None:
    recorder = Recorder(place.backend)
    write(place, place.repo(recorder))
    listed = [key for call, key in recorder.calls if call == "list" and key in ("condemned/", "index/")]
    assert listed.count("index/") >= 1
    assert all(listed[n - 1] == "condemned/" for n, key in enumerate(listed) if key == "index/")


def test_the_base_is_looked_up_after_the_session_was_registered(place: Place) -> None:
    upload(place, place.repo())
    recorder = Recorder(place.backend)
    repo = place.repo(recorder)
    recorder.calls.clear()
    upload(place, repo)
    heads = [
        n for n, (call, key) in enumerate(recorder.calls) if call == "get" and key.startswith(f"repos/{repo.id}/log/")
    ]
    assert any(recorder.at("list", "condemned/") < n < recorder.at("create", f"repos/{repo.id}/log/") for n in heads)


@each_write
def test_a_session_ends_with_its_bundle(place: Place, write: Write) -> None:
    write(place, place.repo())
    assert not list(place.backend.list("sessions/"))


def test_a_session_ends_when_its_upload_fails(place: Place) -> None:
    with pytest.raises(NotFound):
        place.repo().upload(place.scratch / "nowhere", message="m")
    assert not list(place.backend.list("sessions/"))


def test_a_session_that_can_not_be_ended_is_left_to_gc(place: Place) -> None:
    replaced(place.backend, keys.condemned("g"), b"not a list")
    with pytest.raises(Corrupt):
        upload(place, place.repo(FaultyBackend(place.backend, {2: Unavailable("gone")})))
    assert len(list(place.backend.list("sessions/"))) == 1


def test_a_session_ends_when_nothing_can_be_looked_at(place: Place) -> None:
    replaced(place.backend, keys.condemned("g"), b"not a list")
    with pytest.raises(Corrupt, match="condemned/g"):
        upload(place, place.repo())
    assert not list(place.backend.list("sessions/"))


@pytest.mark.parametrize("error", [Unavailable("gone"), Denied("no")])
def test_an_upload_is_done_even_if_its_session_can_not_be_ended(place: Place, error: SheafError) -> None:
    counting = FaultyBackend(place.backend)
    upload(place, place.repo(counting), "first")
    writes = counting.written
    faulty = FaultyBackend(place.backend, {writes: error})
    bundle = upload(place, place.repo(faulty), "second", {**FILES, "new": b"new"})
    assert faulty.written == writes
    assert_complete(place.repo().bundle(bundle.id))
    assert [session.id for session in list_sessions(open_core(place.backend))] == [bundle.id]


# -- the condemned -----------------------------------------------------------------------------------------------------


def assert_clean(place: Place, bundle: Bundle, dead: set[bytes], nodes: set[bytes] = frozenset()) -> None:  # type: ignore[assignment]
    """A bundle needs nothing that was condemned, and is whole when gc has taken it away."""
    seen = place.repo().bundle(bundle.id)
    assert not packs_of(seen) & dead
    assert not nodes_in(seen) & nodes
    place.repo().set_label("kept", bundle.id)
    sweep(place.backend, dead, nodes)
    assert_complete(place.repo().bundle(bundle.id))


def test_what_the_index_lists_is_not_used_if_it_is_dead(place: Place) -> None:
    dead = packs_of(upload(place, place.repo()))
    condemn(place.backend, dead=dead)
    other = place.store().create_repo("other")
    bundle = other.upload(place.folder("again", FILES), message="m").bundle
    assert not packs_of(bundle) & dead
    sweep(place.backend, dead)
    assert_complete(place.store().repo("other").bundle())


def test_what_the_base_has_is_not_taken_over_if_it_is_dead(place: Place, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = place.folder("in", FILES)
    first = place.repo(cache=cache).upload(folder, message="m").bundle
    dead = packs_of(first)
    assert packs_of(place.repo(cache=cache).upload(folder, message="m").bundle) == dead, (
        "the cache and the base are used"
    )
    condemn(place.backend, dead=dead)
    bundle = place.repo(cache=cache).upload(folder, message="m").bundle
    assert bundle.version == first.version
    assert_clean(place, bundle, dead)


def test_of_several_packs_only_the_dead_ones_are_avoided(place: Place, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    repo = place.repo(cache=cache)
    first = upload(place, repo, files=FILES)
    second = upload(place, repo, files={**FILES, "new": b"new"})
    kept, dead = packs_of(first), packs_of(second) - packs_of(first)
    condemn(place.backend, dead=dead)
    bundle = upload(place, place.repo(cache=cache), files={})
    assert bundle.version == second.version
    assert packs_of(bundle) & kept == kept
    assert_clean(place, bundle, dead)


def test_nodes_that_are_dead_are_written_again(place: Place) -> None:
    first = upload(place, place.repo())
    dead = nodes_in(first)
    condemn(place.backend, nodes=dead)
    bundle = upload(place, place.repo())
    assert bundle.version == first.version
    assert_clean(place, bundle, set(), dead)


def test_a_file_of_many_chunks_is_dead_with_any_of_its_packs(place: Place) -> None:
    big = noise(600_000, 5)
    upload(place, place.repo(), files={"big": big})
    changed = upload(place, place.repo(), files={"big": big[:300_000] + b"!" + big[300_000:]})
    first, both = packs_of(place.repo().bundle("main~1")), packs_of(changed)
    assert first < both
    condemn(place.backend, dead=first)
    bundle = place.repo().upload(place.scratch / "in", message="m").bundle
    assert bundle.version == changed.version
    assert_clean(place, bundle, first)


def test_an_edit_does_not_build_on_what_is_dead(place: Place) -> None:
    first = upload(place, place.repo())
    condemn(place.backend, dead=packs_of(first))
    with pytest.raises(Conflict, match="condemned"), place.repo().edit(message="m") as edit:
        edit.put("new", b"new")
        edit.commit()
    assert [bundle.id for bundle in place.repo().bundles()] == [first.id]


def test_what_is_dead_is_not_copied_by_reference(place: Place) -> None:
    first = upload(place, place.repo())
    condemn(place.backend, dead=packs_of(first))
    repo = place.repo()
    with repo.edit(message="m", branch="dev") as edit, pytest.raises(Conflict, match="condemned"):
        edit.copy("folder", "copy", source=repo.bundle(first.id))


def test_dead_nodes_are_not_reused_by_an_edit(place: Place) -> None:
    first = upload(place, place.repo())
    condemn(place.backend, nodes=nodes_in(first))
    with pytest.raises(Conflict, match="condemned"), place.repo().edit(message="m") as edit:
        edit.move("folder", "moved")
        edit.commit()
    repo = place.repo()
    with repo.edit(message="m", branch="dev") as edit, pytest.raises(Conflict, match="condemned"):
        edit.copy("folder", "copy", source=repo.bundle(first.id))


def test_an_edit_loads_a_large_index_only_for_as_many_bytes(place: Place) -> None:
    upload(place, place.repo(), files={str(n): noise(9, n) for n in range(100)})
    recorder = Recorder(place.backend)
    repo = place.store(recorder, limits=replace(DEFAULT, index_eager=10)).repo("faces")
    for size, is_loaded in ((100, False), (1_000_000, True)):
        recorder.calls.clear()
        with repo.edit(message="m") as edit:
            edit.put(str(size), noise(size, size))
            assert_complete(edit.commit())
        assert any(call == "get" and key.startswith("index/") for call, key in recorder.calls) == is_loaded


def test_what_is_alive_is_copied_from_beside_what_is_dead(place: Place) -> None:
    first = upload(place, place.repo(), files={"old": b"old"})
    second = upload(place, place.repo(), files={"new": b"new"})
    dead = packs_of(first)
    condemn(place.backend, dead=dead)
    repo = place.repo()
    with repo.edit(message="m", branch="dev") as edit:
        edit.copy("new", "copy", source=second)
        with pytest.raises(Conflict, match="condemned"):
            edit.copy("old", "copy2", source=second)
        assert_clean(place, edit.commit(), dead)


def test_new_data_is_not_deduplicated_against_a_pack_that_moves(place: Place) -> None:
    moving = packs_of(upload(place, place.repo()))
    condemn(place.backend, moving=moving)
    other = place.store().create_repo("other")
    assert not packs_of(other.upload(place.folder("again", FILES), message="m").bundle) & moving


def test_rows_of_a_live_bundle_may_point_into_a_pack_that_moves(place: Place, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = place.folder("in", FILES)
    moving = packs_of(place.repo(cache=cache).upload(folder, message="m").bundle)
    condemn(place.backend, moving=moving)
    assert packs_of(place.repo(cache=cache).upload(folder, message="m").bundle) == moving


def test_a_split_keeps_away_from_what_was_condemned_after_its_diamond_began(place: Place) -> None:
    dead = packs_of(upload(place, place.repo()))
    repo = place.repo()
    made = repo.create_diamond()
    condemn(place.backend, dead=dead)
    made.add_split(place.folder("split", FILES))
    assert not packs_of(made.commit(message="m")) & dead


def test_a_generation_that_ends_while_it_is_looked_at_is_no_error(place: Place) -> None:
    class Ending(Recorder):
        def get(self, key: str, limit: int = LARGEST) -> bytes:
            if key.startswith("condemned/"):
                self.inner.delete(key)
            return super().get(key, limit)

    upload(place, place.repo())
    condemn(place.backend, dead=[bytes(32)])
    assert_complete(upload(place, place.repo(Ending(place.backend))))


def test_a_damaged_list_of_the_condemned_stops_every_writer(place: Place) -> None:
    key = condemn(place.backend, dead=[bytes(32)])
    whole = place.backend.get(key)
    for at in range(0, len(whole), 7):
        replaced(place.backend, key, flipped(whole, at))
        with pytest.raises(SheafError, match=key):
            upload(place, place.repo())


# -- void --------------------------------------------------------------------------------------------------------------


def void(backend: Backend, repo_id: str) -> None:
    """What gc does with the sessions of a repo that outlived its patience."""
    core = open_core(backend, "gc")
    for session in list_sessions(core):
        log = repo_log(core, repo_id)
        log.append(lambda head, id=session.id: (VoidSession(id),))  # type: ignore[misc]
    core.close()


@each_write
@pytest.mark.parametrize("moment", ["packs/", "index/", "nodes/", "log/"])
def test_a_session_that_was_ended_commits_nothing(place: Place, write: Write, moment: str) -> None:
    backend = Interrupted(place.backend)
    repo = place.repo(backend)
    prefix = f"repos/{repo.id}/log/" if moment == "log/" else moment
    backend.before(prefix, lambda: void(place.backend, repo.id))
    with pytest.raises(Conflict, match="gc ended this"):
        write(place, repo)
    assert place.repo().bundles() == []
    assert_sound(place.store())


@each_write
def test_what_was_ended_can_be_begun_again(place: Place, write: Write) -> None:
    backend = Interrupted(place.backend)
    repo = place.repo(backend)
    backend.before("nodes/", lambda: void(place.backend, repo.id))
    with pytest.raises(Conflict):
        write(place, repo)
    counting = Recorder(place.backend)
    if write is not diamond:
        bundle = write(place, place.repo(counting))
        assert not [key for call, key in counting.calls if call == "create" and key.startswith("packs/")]
        assert_complete(bundle)


def test_a_void_that_comes_after_the_commit_changes_nothing(place: Place) -> None:
    bundle = upload(place, place.repo())
    core = open_core(place.backend, "gc")
    repo_log(core, bundle.repo_id).append(lambda head: (VoidSession(bundle.id),))
    assert_complete(place.repo().bundle("main"))


def test_a_session_says_who_and_what_it_is(place: Place) -> None:
    repo = place.repo()
    core = open_core(place.backend, "someone")
    opened = open_session(core, repo.id, repo_log(core, repo.id), "upload")
    (session,) = list_sessions(core)
    assert session == opened.session
    assert (session.repo, session.kind, session.n) == (repo.id, "upload", -1)
    assert session.host
