"""Bundles made from other bundles by naming what changes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.builders import Place, Recorder, commit, new_backend, noise, packs_of

from sheaf.errors import Conflict, InvalidInput, NotFound, Refused, SheafError
from sheaf.repo.bundle import Bundle
from sheaf.repo.edit import Edit
from sheaf.repo.repo import Repo
from sheaf.testing.invariants import assert_complete, assert_sound
from sheaf.testing.model_repo import FOLDER, ModelEntry, tree_of
from sheaf.testing.strategies import edited, edits, trees

FILES = {"a": b"a", "folder/b": b"b", "folder/deep/c": noise(300_000), "z": b"z"}


@pytest.fixture
def repo(place: Place) -> Repo:
    repo = place.repo()
    commit(repo, FILES)
    return repo


def changed(repo: Repo, *steps: tuple[str | bytes, ...]) -> Bundle:
    """A bundle made by these calls of an edit."""
    with repo.edit(message="m") as edit:
        for name, *arguments in steps:
            getattr(edit, str(name))(*arguments)
        return edit.commit()


def test_folders_come_into_being_with_what_is_in_them(repo: Repo) -> None:
    bundle = changed(repo, ("put", "new/er/file", b"x"), ("symlink", "new/link", "er/file"), ("mkdir", "empty/er"))
    assert [entry.path for entry in bundle.ls(recursive=True) if entry.kind == "folder"] == [
        "empty",
        "folder",
        "new",
        "empty/er",
        "folder/deep",
        "new/er",
    ]
    assert bundle.read("new/er/file") == b"x"
    assert bundle.entry("new/link").target == "er/file"
    assert_complete(bundle)


def test_what_is_written_twice_is_what_was_written_last(repo: Repo) -> None:
    bundle = changed(repo, ("put", "a", b"1"), ("put", "a", b"2"), ("remove", "a"), ("put", "a", b"3"))
    assert bundle.read("a") == b"3"
    assert bundle.files == len(FILES)


def test_a_folder_goes_with_all_that_is_in_it(repo: Repo) -> None:
    bundle = changed(repo, ("put", "folder/new", b"new"), ("remove", "folder"))
    assert [entry.path for entry in bundle.ls(recursive=True)] == ["a", "z"]
    assert_complete(bundle)


def test_the_last_file_of_a_folder_leaves_the_folder(repo: Repo) -> None:
    bundle = changed(repo, ("remove", "folder/deep/c"))
    assert bundle.entry("folder/deep").kind == "folder"


def test_what_was_a_folder_may_become_a_file_and_back(repo: Repo) -> None:
    bundle = changed(repo, ("remove", "folder"), ("put", "folder", b"file"), ("remove", "a"), ("put", "a/b", b"b"))
    assert (bundle.read("folder"), bundle.read("a/b")) == (b"file", b"b")
    assert_complete(bundle)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (("put", "a/b", b""), InvalidInput),
        (("put", "folder", b""), InvalidInput),
        (("symlink", "folder", "x"), InvalidInput),
        (("symlink", "a/b", "x"), InvalidInput),
        (("mkdir", "a"), InvalidInput),
        (("mkdir", "a/b"), InvalidInput),
        (("remove", "nothing"), NotFound),
        (("remove", "folder/nothing"), NotFound),
        (("put", "../x", b""), InvalidInput),
        (("put", "", b""), InvalidInput),
        (("put", "x//y", b""), InvalidInput),
        (("put", "x\0y", b""), InvalidInput),
        (("put", "n" * 256, b""), InvalidInput),
        (("put_file", "x", "/nowhere"), NotFound),
        (("move", "nothing", "x"), NotFound),
        (("move", "folder", "folder/deep/in"), InvalidInput),
        (("move", "folder", "folder"), InvalidInput),
        (("move", "a", "folder"), InvalidInput),
        (("move", "folder", "a"), InvalidInput),
        (("move", "folder", "z/in"), InvalidInput),
        (("copy", "nothing", "x"), NotFound),
        (("copy", "a", "folder"), InvalidInput),
        (("append", "nothing", b""), NotFound),
        (("append", "folder", b""), InvalidInput),
        (("splice", "a", 0, 2, b""), InvalidInput),
        (("splice", "a", -1, 0, b""), InvalidInput),
    ],
)
def test_what_makes_no_tree_is_refused_and_harms_nothing(
    repo: Repo, step: tuple[str, ...], error: type[SheafError]
) -> None:
    with repo.edit(message="m") as edit:
        with pytest.raises(error):
            getattr(edit, step[0])(*step[1:])
        edit.put("good", b"good")
        bundle = edit.commit()
    assert bundle.files == len(FILES) + 1
    assert_complete(bundle)


def test_nothing_is_committed_without_saying_so(repo: Repo, place: Place) -> None:
    before = [bundle.id for bundle in repo.bundles()]
    with repo.edit(message="m") as edit:
        edit.put("a", b"other")
    with pytest.raises(RuntimeError), repo.edit(message="m") as edit:
        raise RuntimeError
    assert [bundle.id for bundle in repo.bundles()] == before
    assert not list(place.backend.list("sessions/"))


def test_files_come_from_bytes_streams_and_disk(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(noise(70_000))
    (tmp_path / "local").chmod(0o755)
    with repo.edit(message="m") as edit:
        edit.put("stream", io.BytesIO(noise(500_000)))
        edit.put("bytes", noise(40), mode=0o755, mtime_ns=7, attrs={"content-type": "x/y"})
        edit.put_file("local", tmp_path / "local")
        bundle = edit.commit()
    assert bundle.read("stream") == noise(500_000)
    assert bundle.read("local") == noise(70_000)
    entry = bundle.entry("bytes")
    assert (entry.executable, entry.mtime_ns, entry.attrs) == (True, 7, {"content-type": "x/y"})
    assert bundle.entry("local").executable


def test_the_loser_of_a_race_is_told_and_loses_nothing(repo: Repo, place: Place) -> None:
    with repo.edit(message="m") as edit:
        edit.put("same", b"mine")
        theirs = commit(place.repo(), {"same": b"theirs"})
        with pytest.raises(Conflict, match=r"main.*another commit changed 'same'"):
            edit.commit()
    assert repo.bundle("main").id == theirs
    assert_sound(place.store())


def test_changes_that_do_not_touch_each_other_are_repeated(repo: Repo, place: Place) -> None:
    with repo.edit(message="m") as edit:
        edit.put("folder/mine", b"mine")
        edit.move("a", "moved")
        edit.copy("folder/deep", "copied")
        edit.append("z", b"more")
        theirs = commit(place.repo(), {"folder/theirs": b"theirs", "folder/deep/new": b"new"})
        bundle = edit.commit()
    assert bundle.parents == (theirs,)
    assert bundle.files == len(FILES) + 5
    assert bundle.read("folder/theirs") == b"theirs"
    assert bundle.read("copied/new") == b"new"
    assert bundle.read("z") == b"zmore"
    assert_complete(bundle)


@pytest.mark.parametrize(
    ("step", "theirs", "path"),
    [
        (("put", "a", b"1"), ("put", "a", b"2"), "a"),
        (("append", "a", b"1"), ("put", "a", b"2"), "a"),
        (("move", "folder", "b"), ("put", "folder/new", b"2"), "folder/new"),
        (("remove", "folder"), ("put", "folder/deep/c", b"2"), "folder/deep/c"),
        (("put", "folder/deep/d", b"1"), ("remove", "folder"), "folder"),
        (("move", "a", "b"), ("put", "b", b"2"), "b"),
        (("move", "a", "b"), ("remove", "a"), "a"),
        (("move", "folder", "b"), ("put", "b/x", b"2"), "b"),
    ],
)
def test_changes_that_touch_each_other_are_refused(
    repo: Repo, place: Place, step: tuple[str, ...], theirs: tuple[str, ...], path: str
) -> None:
    with repo.edit(message="m") as edit:
        getattr(edit, step[0])(*step[1:])
        won = changed(place.repo(), theirs)
        with pytest.raises(Conflict, match=f"'{path}'"):
            edit.commit()
    assert [bundle.id for bundle in repo.bundles()][1:] == [won.id]


@pytest.mark.parametrize("name", ["expect", "base"])
def test_an_edit_of_a_certain_bundle_is_not_repeated(repo: Repo, place: Place, name: str) -> None:
    id = repo.bundle().id
    edits = {"expect": lambda: repo.edit(message="m", expect=id), "base": lambda: repo.edit(message="m", base=id)}
    with edits[name]() as edit:
        edit.put("mine", b"mine")
        commit(place.repo(), {"theirs": b"theirs"})
        with pytest.raises(Conflict, match="main"):
            edit.commit()


def test_a_new_branch_may_not_come_up_meanwhile(repo: Repo, place: Place) -> None:
    with repo.edit(message="m", branch="new") as edit:
        edit.put("mine", b"mine")
        commit(place.repo(), {"theirs": b"theirs"}, branch="new")
        with pytest.raises(Conflict, match="new"):
            edit.commit()


def test_an_edit_of_a_repo_that_was_deleted_is_refused(repo: Repo, place: Place) -> None:
    with repo.edit(message="m") as edit:
        edit.put("mine", b"mine")
        place.repo().delete()
        with pytest.raises(NotFound, match="faces"):
            edit.commit()


# -- copies by reference -----------------------------------------------------------------------------------------------


def test_a_folder_of_another_repo_is_copied_without_its_bytes(repo: Repo, place: Place) -> None:
    recorder = Recorder(place.backend)
    other = place.store(recorder).create_repo("other")
    with other.edit(message="m") as edit:
        edit.copy("folder", "copied/deep", source=repo.bundle())
        edit.copy("a", "a", source=repo.bundle())
        bundle = edit.commit()
    assert tree_of(bundle) == {
        "a": ModelEntry("file", b"a"),
        "copied": FOLDER,
        "copied/deep": FOLDER,
        "copied/deep/b": ModelEntry("file", b"b"),
        "copied/deep/deep": FOLDER,
        "copied/deep/deep/c": ModelEntry("file", FILES["folder/deep/c"]),
    }
    assert packs_of(bundle) == packs_of(repo.bundle())
    assert not [key for call, key in recorder.calls if call == "create" and key.startswith("packs/")]
    assert_complete(bundle)


def test_a_source_that_was_deleted_is_not_copied_from(repo: Repo, place: Place) -> None:
    source = repo.bundle()
    other = place.store().create_repo("other")
    repo.delete()
    with other.edit(message="m") as edit, pytest.raises(NotFound, match="deleted"):
        edit.copy("a", "a", source=source)


@pytest.mark.parametrize(
    ("source", "path"),
    [("a", "folder"), ("folder", "a"), ("a", "z/below"), ("folder", "z/below"), ("a", "folder/b/below")],
)
def test_a_copy_makes_no_file_with_something_below_it(repo: Repo, source: str, path: str) -> None:
    with repo.edit(message="m") as edit:
        with pytest.raises(InvalidInput):
            edit.copy(source, path, source=repo.bundle())
        edit.put("good", b"good")
        assert_complete(edit.commit())


@pytest.mark.parametrize(("source", "path"), [("nothing", "x"), ("folder/x", "x")])
def test_what_is_not_there_is_not_copied(repo: Repo, source: str, path: str) -> None:
    with repo.edit(message="m") as edit, pytest.raises(NotFound):
        edit.copy(source, path, source=repo.bundle())


@pytest.mark.parametrize(("source", "path"), [("", "x"), ("a", ""), ("a", "../x"), ("a", "x//y")])
def test_a_copy_to_nowhere_is_refused(repo: Repo, source: str, path: str) -> None:
    with repo.edit(message="m") as edit, pytest.raises(InvalidInput):
        edit.copy(source, path, source=repo.bundle())


def test_a_folder_may_be_copied_into_itself_and_over_itself(repo: Repo) -> None:
    with repo.edit(message="m") as edit:
        edit.copy("folder", "folder/in", source=repo.bundle())
        edit.copy("folder", "folder", source=repo.bundle())
        bundle = edit.commit()
    assert bundle.read("folder/in/b") == bundle.read("folder/b") == b"b"
    assert bundle.files == len(FILES) + 2
    assert_complete(bundle)


# -- any edits ---------------------------------------------------------------------------------------------------------


@given(data=st.data())
def test_any_edits_come_to_what_they_say(data: st.DataObject) -> None:
    place = Place(new_backend(), Path())
    repo = place.store().create_repo("faces")
    base = data.draw(trees())
    with repo.edit(message="base") as edit:
        for path, entry in base.items():
            set_entry(edit, path, entry)
        source = edit.commit()
    assert tree_of(source) == base
    after = base
    with repo.edit(message="m") as edit:
        for step in data.draw(edits(base)):
            grown = edited(after, base, step)
            assert grown is not None
            after = grown
            if step.source:
                edit.copy(step.source, step.path, source=source)
            elif step.entry is None:
                edit.remove(step.path)
            else:
                set_entry(edit, step.path, step.entry)
        bundle = edit.commit()
    assert tree_of(bundle) == after
    assert_complete(bundle)
    for store in place.stores:
        store.close()


def set_entry(edit: Edit, path: str, entry: ModelEntry) -> None:
    if entry.kind == "folder":
        edit.mkdir(path)
    elif entry.kind == "symlink":
        edit.symlink(path, entry.content.decode())
    else:
        edit.put(path, entry.content, mode=0o755 if entry.executable else 0o644)


def test_an_edit_that_is_over_commits_nothing_more(repo: Repo) -> None:
    with repo.edit(message="m") as edit:
        edit.put("a", b"1")
    with pytest.raises(Refused, match="has ended"):
        edit.commit()
    with repo.edit(message="m") as edit:
        edit.put("a", b"2")
        edit.commit()
        with pytest.raises(Conflict, match="already"):
            edit.commit()
    assert len(repo.bundles()) == 2


def test_a_copy_that_fails_changes_nothing(repo: Repo) -> None:
    changed(
        repo, ("put", "new/a", b"new"), ("put", "new/z", b"new"), ("put", "old/a", b"old"), ("put", "old/z/x", b"x")
    )
    with repo.edit(message="m") as edit:
        with pytest.raises(InvalidInput, match="'old/z'"):
            edit.copy("new", "old")
        edit.put("other", b"other")
        bundle = edit.commit()
    assert bundle.read("old/a") == b"old"
    assert bundle.read("old/z/x") == b"x"


def test_a_repeated_copy_does_not_replace_what_others_have_written(repo: Repo) -> None:
    changed(repo, ("put", "src/a", b"a"), ("put", "dst/b", b"b"))
    with repo.edit(message="copy") as edit:
        edit.copy("src", "dst")
        changed(repo, ("put", "src/new", b"theirs"), ("put", "dst/new", b"also theirs"))
        with pytest.raises(Conflict, match="dst/new"):
            edit.commit()
    assert repo.bundle().read("dst/new") == b"also theirs"


def test_a_repeated_copy_of_something_that_is_gone_is_a_conflict(repo: Repo) -> None:
    with repo.edit(message="copy") as edit:
        edit.copy("a", "b")
        changed(repo, ("remove", "a"))
        with pytest.raises(Conflict, match="no longer possible"):
            edit.commit()


def test_a_folder_with_new_files_is_not_moved_to_a_path_that_is_too_long(repo: Repo) -> None:
    deep = "/".join(["x" * 250] * 16)
    with repo.edit(message="m") as edit:
        edit.put(f"d/{deep}", b"deep")
        with pytest.raises(InvalidInput, match="4096"):
            edit.move("d", "d" * 200)
        bundle = edit.commit()
    assert bundle.read(f"d/{deep}") == b"deep"
