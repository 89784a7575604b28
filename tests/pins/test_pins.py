"""Pinned folders in real git repositories: cloned, pulled, changed, and with everything that can be wrong about them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.data import change, make_folder, tree_of
from tests.repair.disks import mounted

import sheaf
from sheaf.errors import AlreadyExists, Conflict, InvalidInput, NoSpace, NotFound, Refused
from sheaf.pins.pinned_folders import Pins, folder_status
from sheaf.repo.store import Store
from sheaf.transfer.download.partial import PartialFolder
from sheaf.transfer.download.update import LocalChanges


def git(root: Path, *args: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *args], cwd=root, check=True, capture_output=True)


class World:
    """A store with a repo, and a git repository that pins it. Each machine has a cache of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.data = make_folder(place / "data")
        self.store = sheaf.connect(str(place / "store"), create=True, cache=place / "cache")
        self.repo = self.store.create_repo("faces")
        self.first = self.repo.upload(self.data, message="first", label="v1").bundle
        self.project = place / "project"
        self.project.mkdir()
        git(self.project, "init")

    def pins(self, root: Path | None = None, cache: str = "cache") -> Pins:
        def opened(url: str) -> Store:
            return sheaf.connect(url or str(self.place / "store"), cache=self.place / cache)

        return Pins(root or self.project, open_store=opened)

    def add(self, source: str = "faces@main", folder: str = "data/faces") -> None:
        self.pins().add(source, self.project / folder, store=str(self.place / "store"))

    def upload_second(self) -> sheaf.Bundle:
        change(self.data)
        return self.repo.upload(self.data, message="second").bundle

    def commit(self) -> None:
        git(self.project, "add", "--all")
        git(self.project, "commit", "--message", "m")

    def clone(self, name: str = "clone") -> Path:
        git(self.place, "clone", "project", name)
        return self.place / name

    def first_tree(self, root: Path) -> bool:
        return tree_of(root / "data/faces") == tree_of(self.data)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_fresh_clone_is_pulled(world: World) -> None:
    world.add()
    world.commit()
    tracked = subprocess.run(["git", "ls-files"], cwd=world.project, capture_output=True, text=True, check=True).stdout
    assert tracked.split() == ["data/.gitignore", "sheaf.lock"]
    clone = world.clone()
    assert not (clone / "data/faces").exists()
    (pulled,) = world.pins(clone, cache="other machine").pull()
    assert pulled.pin.bundle == world.first.id
    assert world.first_tree(clone)
    (again,) = world.pins(clone, cache="other machine").pull()
    assert (again.updated.added, again.updated.modified, again.updated.deleted) == ([], [], [])


def test_a_checkout_and_a_pull_give_the_data_of_that_commit(world: World) -> None:
    world.add()
    world.commit()
    before = tree_of(world.data)
    second = world.upload_second()
    pin, updated = world.pins().bump("data/faces")
    assert (pin.bundle, pin.version, pin.ref) == (second.id, second.version, "main")
    assert updated is not None and updated.added == ["new.txt", "train/2.jpg"]
    world.commit()
    git(world.project, "checkout", "HEAD~1")
    (status,) = world.pins().status()
    assert (status.state, status.changes, status.newest) == ("outdated", [], second.id)
    world.pins().pull()
    assert tree_of(world.project / "data/faces") == before
    git(world.project, "checkout", "main")
    world.pins().pull()
    assert world.first_tree(world.project)


def test_a_folder_may_come_from_another_repo_in_another_commit(world: World) -> None:
    world.add()
    world.commit()
    (world.place / "nets").mkdir()
    (world.place / "nets/weights").write_text("w")
    other = world.store.create_repo("nets").upload(world.place / "nets", message="m").bundle
    text = (world.project / "sheaf.lock").read_text()
    text = text.replace('"faces"\n', '"nets"\n').replace(world.first.id, other.id)
    (world.project / "sheaf.lock").write_text(text.replace(world.first.version, other.version))
    world.pins().pull()
    assert os.listdir(world.project / "data/faces") == ["weights"]


# -- local changes -----------------------------------------------------------------------------------------------------


def test_local_changes_are_named_and_kept(world: World) -> None:
    world.add()
    world.add("faces@v1", "second")
    (world.project / "data/faces/labels.csv").write_text("mine")
    (world.project / "data/faces/own.txt").write_text("mine")
    shutil.rmtree(world.project / "second")
    with pytest.raises(Refused, match=r"data/faces has local changes that would be lost: labels\.csv$") as caught:
        world.pins().pull()
    assert "--overwrite" in caught.value.hint and "--force" not in caught.value.hint
    assert (world.project / "data/faces/labels.csv").read_text() == "mine"
    assert tree_of(world.project / "second") == tree_of(world.data), "all other folders are pulled"
    world.pins().pull(overwrite=True)
    assert (world.project / "data/faces/own.txt").read_text() == "mine", "what is in neither bundle stays"
    (status,) = [each for each in world.pins().status() if each.folder == "data/faces"]
    assert [(each.kind, each.path) for each in status.changes] == [("added", "own.txt")]


def test_all_folders_with_local_changes_are_named(world: World) -> None:
    world.add("faces@main", "a")
    world.add("faces@main", "b")
    for folder in ("a", "b"):
        (world.project / folder / "labels.csv").write_text("mine")
    with pytest.raises(
        LocalChanges, match=r"a has local changes that would be lost: labels\.csv; .*b has local changes"
    ):
        world.pins().pull()


def test_local_changes_are_named_although_a_later_folder_fails(world: World) -> None:
    world.add("faces@main", "a")
    world.add("faces@main", "b")
    (world.project / "a/labels.csv").write_text("mine")
    lock = world.project / "sheaf.lock"
    before, after = lock.read_text().rsplit('repo = "faces"', 1)
    lock.write_text(f'{before}repo = "gone"{after}')
    with pytest.raises(NotFound, match=r"b: .*gone.*; .*a has local changes that would be lost: labels\.csv$"):
        world.pins().pull()


def test_a_deleted_local_file_comes_back_and_a_changed_one_stops_a_bump(world: World) -> None:
    world.add()
    (world.project / "data/faces/run.sh").unlink()
    world.pins().pull()
    assert world.first_tree(world.project)
    (world.project / "data/faces/labels.csv").write_text("mine")
    world.upload_second()
    before = (world.project / "sheaf.lock").read_bytes()
    with pytest.raises(Refused, match=r"labels\.csv"):
        world.pins().bump("data/faces")
    assert (world.project / "sheaf.lock").read_bytes() == before
    world.pins().bump("data/faces", overwrite=True)
    assert world.first_tree(world.project)


def test_without_the_cache_a_folder_is_recognised_by_what_it_holds(world: World) -> None:
    world.add()
    world.upload_second()
    world.pins(cache="new").bump("data/faces")
    assert world.first_tree(world.project)


def test_a_folder_that_holds_something_else_is_not_added(world: World) -> None:
    (world.project / "src").mkdir()
    (world.project / "src/main.py").write_text("code")
    with pytest.raises(Refused, match="src is not empty"):
        world.add(folder="src")
    assert sorted(os.listdir(world.project)) == [".git", "src"], "nothing is pinned, nothing is ignored"


# -- status ------------------------------------------------------------------------------------------------------------


def test_folder_status_pinned_folders(world: World) -> None:
    world.add("faces@main", "a")
    world.add("faces@v1", "b")
    world.add("faces@v1", "c")
    change(world.project / "a")
    shutil.rmtree(world.project / "b")
    second = world.upload_second()
    found = world.pins().status()
    assert [(each.folder, each.state, each.newest) for each in found] == [
        ("a", "changed", second.id),
        ("b", "missing", ""),
        ("c", "clean", ""),
    ]
    assert {each.kind for each in found[0].changes} == {"added", "modified", "deleted", "renamed"}
    assert [each.folder for each in world.pins().status(["c"])] == ["c"]


def test_folder_status_one_folder_does_not_hide_the_others(world: World) -> None:
    world.add("faces@main", "a")
    world.add("faces@v1", "b")
    file = world.project / "sheaf.lock"
    file.write_text(file.read_text().replace(world.first.version, "0" * 64, 1))
    found = world.pins().status()
    assert [(each.folder, each.state) for each in found] == [("a", "unavailable"), ("b", "clean")]
    assert "has version" in found[0].reason


def test_folder_status_a_downloaded_folder(world: World) -> None:
    copy = world.place / "copy"
    with pytest.raises(NotFound, match="unknown which bundle"):
        folder_status(world.store, copy)
    world.first.download(copy)
    assert folder_status(world.store, copy).state == "clean"
    change(copy)
    assert folder_status(world.store, copy).state == "changed"
    shutil.rmtree(copy)
    assert folder_status(world.store, copy).state == "missing"


# -- names -------------------------------------------------------------------------------------------------------------


def test_folders_are_found_by_name_by_path_and_from_above(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add("faces@main", "data/a")
    world.add("faces@main", "data/b")
    monkeypatch.chdir(world.project / "data")
    pins = world.pins(Path())
    for names, found in {
        ("data/a",): ["a"],
        ("a",): ["a"],
        ("a/", "b"): ["a", "b"],
        (".",): ["a", "b"],
        (): ["a", "b"],
    }.items():
        assert [pin.folder for pin in pins.find(names)] == [f"data/{name}" for name in found]
    with pytest.raises(NotFound, match=r"c is not pinned in sheaf\.lock") as caught:
        pins.find(["c"])
    assert "data/a, data/b" in caught.value.hint
    with pytest.raises(InvalidInput, match="the name of a folder is empty"):
        pins.pull([""])
    with pytest.raises(InvalidInput, match="2 pinned folders are below"):
        pins.bump(".")
    world.add("faces@main", "a")
    assert [pin.folder for pin in pins.find(["a"])] == ["data/a"], "the current folder comes first"
    assert [pin.folder for pin in pins.find(["../a", "data/b"])] == ["a", "data/b"]


def test_no_folder_is_pinned_twice_or_inside_another(world: World) -> None:
    world.add()
    for folder in ("data/faces", "data", "data/faces/train"):
        with pytest.raises(AlreadyExists):
            world.add(folder=folder)
    assert [pin.folder for pin in world.pins().all()] == ["data/faces"]


def test_another_ref_is_followed_from_then_on(world: World) -> None:
    world.add()
    second = world.upload_second()
    pin, updated = world.pins().bump("data/faces", "v1", download=False)
    assert (pin.ref, pin.bundle, updated) == ("v1", world.first.id, None)
    world.repo.set_label("v1", second.id)
    assert world.pins().bump("data/faces")[0].bundle == second.id


def test_a_pin_that_changes_while_it_is_moved_is_a_conflict(world: World) -> None:
    world.add()
    second = world.upload_second()

    def rival(state: object) -> None:
        world.pins().bump("data/faces", world.first.id, download=False)

    with pytest.raises(Conflict, match="the pin of data/faces changed in the meantime"):
        world.pins().bump("data/faces", second.id, progress=rival)


# -- what is gone ------------------------------------------------------------------------------------------------------


def test_a_deleted_bundle_is_named_with_the_ways_out(world: World) -> None:
    world.add()
    second = world.upload_second()
    world.repo.set_label("v1", second.id)
    world.repo.delete_bundle(world.first.id)
    shutil.rmtree(world.project / "data/faces")
    with pytest.raises(NotFound) as caught:
        world.pins().pull()
    assert (
        caught.value.message == f"{world.project}/sheaf.lock: line 4: data/faces: bundle {world.first.id} was deleted"
    )
    assert (
        "sheaf bundle undelete --repo faces" in caught.value.hint and "sheaf bump data/faces REF" in caught.value.hint
    )
    world.repo.undelete_bundle(world.first.id)
    world.pins().pull()
    world.repo.delete_bundle(world.first.id)
    with pytest.raises(Refused, match=r"labels\.csv") as refused:
        world.pins().bump("data/faces")
    assert refused.value.hint.startswith("unknown which bundle the folder came from")
    assert world.pins().bump("data/faces", overwrite=True)[0].bundle == second.id


def test_a_store_that_is_gone_is_named(world: World) -> None:
    world.add()
    (world.place / "store").rename(world.place / "elsewhere")
    with pytest.raises(NotFound, match=r"/project/sheaf.lock: line 4: data/faces: .*store") as caught:
        world.pins().pull()
    assert "--store URL or SHEAF_STORE" in caught.value.hint
    moved = Pins(world.project, open_store=lambda url: sheaf.connect(str(world.place / "elsewhere"), cache=None))
    moved.pull()


def test_a_version_that_is_not_the_bundles_is_named(world: World) -> None:
    world.add()
    file = world.project / "sheaf.lock"
    file.write_text(file.read_text().replace(world.first.version, "0" * 64))
    with pytest.raises(InvalidInput, match=r"sheaf.lock: line 4: data/faces: bundle .* has version"):
        world.pins().pull()
    world.pins().bump("data/faces")
    world.pins().pull()


def test_a_symlink_out_of_the_tree_is_not_followed(world: World) -> None:
    world.add()
    world.commit()
    (world.place / "private").mkdir()
    clone = world.clone()
    shutil.rmtree(clone / "data")
    (clone / "data").symlink_to(world.place / "private")
    with pytest.raises(Refused, match="a symlink leads out of the working tree"):
        world.pins(clone).pull()
    assert not os.listdir(world.place / "private")


# -- stores ------------------------------------------------------------------------------------------------------------


def test_no_path_of_this_machine_is_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add()
    assert str(world.place) not in (world.project / "sheaf.lock").read_text()
    assert world.pins().all()[0].store == "../store"
    monkeypatch.chdir(world.project)
    world.pins().add("faces", "b", store="../store")
    world.pins().add("faces", "c", store=f"file://{world.place}/store")
    world.pins().add("faces", "d")
    assert [pin.store for pin in world.pins().all()] == ["../store", "../store", "", "../store"]


def test_only_options_that_the_file_can_contain_are_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = Pins(world.project, open_store=lambda url: sheaf.connect(str(world.place / "store"), cache=None))
    monkeypatch.chdir(world.project)
    pins.add("faces", "a", store="s3://bucket/sheaf?region=eu&key_file=/etc/key&endpoint=https://s3.example.org:8443")
    pins.add("faces", "b", store="s3://bucket/sheaf")
    (first, second) = pins.all()
    assert first.store == "s3://bucket/sheaf?region=eu"
    assert second.store == "s3://bucket/sheaf"


def test_the_store_of_the_settings_is_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(world.place / "home"))
    monkeypatch.setenv("SHEAF_STORE", str(world.place / "store"))
    monkeypatch.chdir(world.project)
    with Pins() as pins:
        assert pins.add("faces", "a")[0].store == "../store"


def test_the_environment_precedes_the_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(world.place / "home"))
    world.add()
    shutil.rmtree(world.project / "data/faces")
    with Pins(world.project) as pins:
        pins.pull()
    shutil.rmtree(world.project / "data/faces")
    (world.place / "store").rename(world.place / "elsewhere")
    monkeypatch.setenv("SHEAF_STORE", str(world.place / "elsewhere"))
    with Pins(world.project) as pins:
        pins.pull()
    assert world.first_tree(world.project)


# -- kills, and two at once --------------------------------------------------------------------------------------------


def test_a_folder_that_another_pull_is_writing_is_left_to_it(world: World) -> None:
    world.add()
    shutil.rmtree(world.project / "data/faces")
    (world.project / "data/faces").mkdir()
    partial = PartialFolder.open(world.project / "data/faces", "another process")
    with pytest.raises(Refused, match="another process is downloading into"):
        world.pins().pull()
    partial.close(is_done=True)
    world.pins().pull()
    assert world.first_tree(world.project)


def test_a_full_disk_stops_it_and_it_resumes(world: World) -> None:
    (world.data / "big").write_bytes(os.urandom(2 << 20))
    world.repo.upload(world.data, message="big")
    world.pins().add("faces", world.project / "data/faces")  # of the default store, wherever the clone is
    world.commit()
    with mounted("tmpfs", world.place) as disk:
        clone = world.clone("disk/clone")
        before = (clone / "sheaf.lock").read_bytes()
        disk.fill(1 << 20)
        with pytest.raises(NoSpace):
            world.pins(clone).pull()
        disk.make_room()
        world.pins(clone).pull()
        assert world.first_tree(clone)
        assert (clone / "sheaf.lock").read_bytes() == before


@pytest.mark.parametrize("stride", [32, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_anywhere_it_can_be_run_again(tmp_path: Path, stride: int) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "tests.pins.pin_kills", str(tmp_path / "work"), str(stride)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    counts = {what: (int(own), int(others)) for what, own, others in map(str.split, done.stdout.splitlines())}
    assert {what: own for what, (own, _) in counts.items()} == {"add": 4, "pull": 0, "bump": 2}
    assert all(others * stride > 20 for _, others in counts.values()), counts
