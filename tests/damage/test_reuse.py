"""Nothing that was found damaged is part of a new bundle: uploads store it again, other commits are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.engine.builders import Place, commit, flipped, new_backend, noise, replaced

import sheaf
from sheaf.errors import Corrupt, SheafError
from sheaf.format import keys
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.storage.port import Backend, Buffer
from sheaf.storage.wrappers.wrapper import WrapperBackend

FILES = {"a/small": b"some words " * 50, "a/other": noise(3000), "big": noise(700_000, 1)}

Finder = Callable[[Place, str], None]


def rot(backend: Backend, prefix: str = keys.PACKS, *, at: float = 0.4) -> list[str]:
    """Turn one bit over in every object of a kind."""
    listed = [stat.key for stat in backend.list(prefix)]
    for key in listed:
        data = backend.get(key)
        replaced(backend, key, flipped(data, int(len(data) * at)))
    return listed


def notes(backend: Backend) -> list[str]:
    """The keys of the objects that are noted as damaged."""
    return sorted(stat.key.removeprefix(keys.DAMAGED) for stat in backend.list(keys.DAMAGED))


class OneLie(WrapperBackend):
    """Answers so many ranges wrong."""

    lies = 0

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        data = [bytes(each) for each in super().get_ranges(key, ranges)]
        if self.lies and key.startswith(keys.PACKS):
            self.lies -= 1
            data = [flipped(each, len(each) // 2) for each in data]
        return data


def content(bundle: Bundle) -> dict[str, bytes]:
    return {e.path: bundle.read(e.path) for e in bundle.ls(recursive=True) if e.kind == "file"}


@pytest.fixture
def first(place: Place) -> Path:
    """A folder that is uploaded by somebody whose cache knows its files."""
    place.store().create_repo("faces")
    folder = place.folder("folder", FILES)
    place.repo(cache=place.scratch / "cache").upload(folder, message="first")
    return folder


def _check(place: Place, id: str) -> None:
    report = place.store().check(read_data=True)
    assert not report.ok


def _verify(place: Place, id: str) -> None:
    with pytest.raises(Corrupt):
        place.repo().bundle(id).verify()


def _download(place: Place, id: str) -> None:
    with pytest.raises(Corrupt):
        place.repo().bundle(id).download(place.scratch / "out of it")


def _read(place: Place, id: str) -> None:
    with pytest.raises(Corrupt):
        content(place.repo().bundle(id))


FOUND_BY = pytest.mark.parametrize("find", [_check, _verify, _download, _read])


@FOUND_BY
def test_an_unchanged_folder_is_stored_again_where_its_pack_was_found_damaged(
    place: Place, first: Path, find: Finder
) -> None:
    packs = rot(place.backend)
    find(place, place.repo().bundle("main").id)
    assert notes(place.backend) == sorted(packs)
    uploaded = place.repo(cache=place.scratch / "cache").upload(first, message="again")
    assert content(place.repo().bundle(uploaded.bundle.id)) == FILES


@FOUND_BY
def test_the_same_without_a_cache_of_the_folder(place: Place, first: Path, find: Finder) -> None:
    rot(place.backend)
    find(place, place.repo().bundle("main").id)
    uploaded = place.repo().upload(first, message="again")
    assert content(place.repo().bundle(uploaded.bundle.id)) == FILES


@pytest.mark.parametrize("at", [0.02, 0.4, 0.8])
def test_what_can_not_be_proved_is_stored_again_by_a_rehash(place: Place, first: Path, at: float) -> None:
    rot(place.backend, at=at)
    uploaded = place.repo(cache=place.scratch / "cache").upload(first, message="again", rehash=True)
    assert content(place.repo().bundle(uploaded.bundle.id)) == FILES


def test_a_rehash_of_what_is_sound_stores_nothing(place: Place, first: Path) -> None:
    uploaded = place.repo(cache=place.scratch / "cache").upload(first, message="again", rehash=True)
    assert uploaded.new_bytes == 0
    assert notes(place.backend) == []


@pytest.mark.parametrize("rehash", [False, True])
@pytest.mark.parametrize("prefix", [keys.PACKS, keys.NODES])
def test_a_pack_or_node_that_is_lost_is_not_reused_either(
    place: Place, first: Path, prefix: str, *, rehash: bool
) -> None:
    bundle = place.repo().bundle("main").id
    for stat in list(place.backend.list(prefix)):
        place.backend.delete(stat.key)
    if not rehash:
        assert not place.store().check().ok
    uploaded = place.repo(cache=place.scratch / "cache").upload(first, message="again", rehash=rehash)
    assert content(place.repo().bundle(uploaded.bundle.id)) == FILES
    with pytest.raises(Corrupt):
        content(place.repo().bundle(bundle))


@pytest.mark.parametrize("rehash", [False, True])
def test_a_damaged_node_is_not_reused_though_a_cache_holds_a_sound_copy(place: Place, *, rehash: bool) -> None:
    place.store().create_repo("faces")
    files = {f"{n:05}": b"" for n in range(9000)}  # several leaves
    repo = place.repo(cache=place.scratch / "cache")
    repo.upload(place.folder("folder", files), message="first")
    content(repo.bundle("main"))
    rot(place.backend, keys.NODES)
    if not rehash:
        assert not place.store().check().ok
    repo.upload(place.folder("folder", {"99999": b"new"}), message="again", rehash=rehash)
    assert content(place.repo().bundle("main")) == {**files, "99999": b"new"}


def test_one_wrong_answer_on_the_way_condemns_nothing(place: Place, first: Path) -> None:
    backend = OneLie(place.backend)
    bundle = place.repo(backend).bundle("main")
    backend.lies = 1
    assert content(bundle) == FILES
    assert backend.lies == 0
    assert notes(place.backend) == []


def test_an_edit_is_refused_that_would_take_damage_over(place: Place) -> None:
    place.store().create_repo("faces")
    commit(place.repo(), {"bad": FILES["big"]})
    rot(place.backend)
    commit(place.repo(), {"good": b"good"})  # nobody knows of the damage yet
    _read_one(place.repo(), "bad")
    with pytest.raises(Corrupt, match="'bad'"):
        commit(place.repo(), {"more": b"more"})
    commit(place.repo(), {"bad": FILES["big"], "more": b"more"})
    assert content(place.repo().bundle("main")) == {"bad": FILES["big"], "good": b"good", "more": b"more"}


def test_an_edit_takes_over_what_is_sound_of_a_damaged_pack(place: Place) -> None:
    place.store().create_repo("faces")
    commit(place.repo(), {"bad": FILES["big"], "good": b"good"})
    rot(place.backend)
    _read_one(place.repo(), "bad")
    with place.repo().edit(message="m") as edit:
        edit.remove("bad")
        edit.put("more", b"more")
        edit.commit()
    assert content(place.repo().bundle("main")) == {"good": b"good", "more": b"more"}


def test_a_copy_is_refused_that_would_take_damage_over(place: Place) -> None:
    place.store().create_repo("faces")
    commit(place.repo(), {"folder/bad": FILES["big"]})
    other = commit(place.repo(), {"x": b"x"}, branch="other")
    rot(place.backend)
    _read_one(place.repo(), "folder/bad")
    repo = place.repo()
    with repo.edit(message="m", base=other, branch="third") as edit:
        edit.copy("folder", "copied", source=repo.bundle("main"))
        with pytest.raises(Corrupt, match="'copied/bad'"):
            edit.commit()


def test_a_diamond_joins_no_split_that_was_found_damaged(place: Place) -> None:
    place.store().create_repo("faces")
    diamond = place.repo().create_diamond()
    diamond.add_split(place.folder("split", FILES), split_id="one")
    rot(place.backend)
    assert not place.store().check(read_data=True).ok or notes(place.backend) == []
    for stat in place.backend.list(keys.PACKS):  # no bundle needs it yet, so no check reads it
        place.backend.create(keys.damaged(stat.key), b"whatever")
    with pytest.raises(Corrupt, match="can't be reused"):
        diamond.commit(message="m")


def test_a_split_is_stored_again_where_its_pack_was_found_damaged(place: Place, first: Path) -> None:
    rot(place.backend)
    _check(place, "")
    diamond = place.repo().create_diamond()
    diamond.add_split(first, split_id="one")
    assert content(diamond.commit(message="m", branch="joined")) == FILES


def test_a_push_sends_what_the_target_has_damaged(place: Place, first: Path) -> None:
    other = Place(new_backend(), place.scratch)
    other.store().create_repo("faces")
    place.repo().push(other.store())
    rot(other.backend)
    assert not other.store().check(read_data=True).ok
    place.repo().upload(place.folder("folder", {"new": b"new"}), message="second")
    place.repo().push(other.store())
    assert content(other.repo().bundle("main")) == {**FILES, "new": b"new"}


def _read_one(repo: Repo, path: str) -> None:
    with pytest.raises(SheafError):
        repo.bundle("main").read(path)


def test_an_encrypted_store_keeps_damage_out_as_well(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key, url = bytes(range(32)), str(tmp_path / "store")
    sheaf.init(url, key=key).close()
    files = Place(new_backend(), tmp_path).folder("folder", FILES)
    with sheaf.connect(url, key=key) as store:
        store.create_repo("faces").upload(files, message="first")
    (pack,) = [path for path in (tmp_path / "store" / "packs").rglob("*") if path.is_file()]
    pack.chmod(0o600)
    pack.write_bytes(flipped(pack.read_bytes(), 300_000))
    with sheaf.connect(url, key=key) as store:
        with pytest.raises(Corrupt):
            content(store.repo("faces").bundle("main"))
        (note,) = [path for path in (tmp_path / "store" / "damaged").rglob("*") if path.is_file()]
        assert b"sheaf" not in note.read_bytes()
        store.repo("faces").upload(files, message="again")
        assert content(store.repo("faces").bundle("main")) == FILES
        assert not store.check(read_data=True).ok


def test_an_upload_if_changed_commits_what_heals_the_branch(place: Place, first: Path) -> None:
    before = place.repo().bundle("main").id
    rot(place.backend)
    _check(place, before)
    done = place.repo().upload(first, message="again", if_changed=True)
    assert done.committed and done.bundle.id != before
    done.bundle.verify()
    assert not place.repo().upload(first, message="again", if_changed=True).committed
