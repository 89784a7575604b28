"""Where ``sheaf.lock`` lies, what may be pinned there, and what is written into it and ``.gitignore``."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest
from tests.repair.disks import mounted

from sheaf.errors import InvalidInput, NoSpace, NotFound, Refused
from sheaf.pins.lock_format import Pin
from sheaf.pins.working_tree import WorkingTree


def pin(folder: str) -> Pin:
    return Pin(folder, "faces", "main", "3MlGh35sXoKdlBmU6epKqia5hkK", "ab" * 32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    subprocess.run(["git", "init", "--quiet", root], check=True)
    return root


def ignored(root: Path, *paths: str) -> list[str]:
    """Those of the paths that git ignores."""
    command = ["git", "check-ignore", "--stdin", "-z"]
    done = subprocess.run(command, cwd=root, input="\0".join(paths), capture_output=True, text=True, check=False)
    return done.stdout.split("\0")[:-1]


def test_it_lies_at_the_root_of_the_git_repository(root: Path, tmp_path: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    assert WorkingTree.around(root / "a/b") == WorkingTree(root, has_git=True)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / ".git").write_text("gitdir: elsewhere\n")
    assert WorkingTree.around(linked) == WorkingTree(linked, has_git=True), "as in submodules"


def test_without_git_it_is_found_above_or_begins_here(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    assert WorkingTree.around(tmp_path / "a/b") == WorkingTree(tmp_path / "a/b", has_git=False)
    WorkingTree(tmp_path / "a", has_git=False).change(lambda pins: pin("x"))
    assert WorkingTree.around(tmp_path / "a/b") == WorkingTree(tmp_path / "a", has_git=False)


def test_without_a_file_the_next_step_is_named(root: Path) -> None:
    with pytest.raises(NotFound, match=r"no sheaf.lock in ") as caught:
        WorkingTree.around(root).pins()
    assert "sheaf add" in caught.value.hint


def test_folders_are_named_from_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = WorkingTree.around(root)
    (root / "a").mkdir()
    monkeypatch.chdir(root / "a")
    assert tree.folder_of(Path("faces")) == "a/faces"
    assert tree.folder_of(Path("../faces")) == "faces"
    assert tree.folder_of(root / "x/./y/") == "x/y"
    for path in (Path(), Path(".."), Path("../.."), root.parent / "elsewhere", root / ".git/hooks", root / ".GIT"):
        with pytest.raises(InvalidInput):
            tree.folder_of(path)


def test_no_symlink_leads_out_of_the_tree_or_to_gits_files(root: Path, tmp_path: Path) -> None:
    tree = WorkingTree.around(root)
    (tmp_path / "outside").mkdir()
    (root / "inside").mkdir()
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "hooks").symlink_to(".git/hooks")
    (root / "loop").symlink_to("loop")
    (root / "here").symlink_to("inside")
    for folder in ("out", "out/faces", "hooks", "loop"):
        with pytest.raises(Refused, match="a symlink leads out of the working tree"):
            tree.place_of(folder)
        with pytest.raises((Refused, InvalidInput)):
            tree.folder_of(root / folder)
    assert tree.place_of("here/faces") == root / "here/faces"


@pytest.mark.parametrize("name", ["faces", "with blank ", "star*[a]?", "#hash", "!not", "back\\slash", "ünï"])
def test_git_ignores_the_folder_and_what_a_killed_download_leaves(root: Path, name: str) -> None:
    tree = WorkingTree.around(root)
    for folder in (name, f"data/{name}"):
        (root / folder).mkdir(parents=True)
        tree.ignore(folder)
        tree.ignore(folder)
    wanted = [name, f"data/{name}", f".{name}.sheaf-partial", f"data/.{name}.sheaf-partial"]
    assert ignored(root, *wanted, "other", "sheaf.lock", "data/other") == wanted
    assert (root / "data/.gitignore").read_bytes().count(b"\n") == 2, "each line once"


def test_what_is_in_gitignore_stays_and_is_not_repeated(root: Path) -> None:
    tree = WorkingTree.around(root)
    (root / ".gitignore").write_bytes(b"*.pyc\r\n/faces/\r\nlast")
    tree.ignore("faces")
    assert (root / ".gitignore").read_bytes() == b"*.pyc\r\n/faces/\r\nlast\n/.faces.sheaf-partial\n"


def test_without_git_nothing_is_ignored(tmp_path: Path) -> None:
    WorkingTree.around(tmp_path).ignore("faces")
    assert not list(tmp_path.iterdir())


def test_planted_symlinks_are_not_written_through(root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    tree = WorkingTree.around(root)
    (root / ".gitignore").symlink_to(secret)
    with pytest.raises(Refused, match="is a symlink"):
        tree.ignore("faces")
    (root / "sheaf.lock.new").symlink_to(secret)
    with pytest.raises(Refused):
        tree.change(lambda pins: pin("faces"))
    assert secret.read_text() == "secret"


def test_changes_of_several_at_once_are_all_kept(root: Path) -> None:
    tree = WorkingTree.around(root)
    folders = [f"f{number}" for number in range(8)]
    threads = [threading.Thread(target=tree.change, args=(lambda pins, f=folder: pin(f),)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tree.pins()) == folders
    assert sorted(os.listdir(root)) == [".git", "sheaf.lock"]


def test_what_could_not_be_read_again_is_not_written(root: Path) -> None:
    tree = WorkingTree.around(root)
    tree.change(lambda pins: pin("faces"))
    before = tree.file.read_bytes()
    with pytest.raises(InvalidInput):
        tree.change(lambda pins: Pin("x", "faces", "main", "no id", "ab" * 32))
    assert tree.file.read_bytes() == before


def test_the_mode_of_the_file_stays(root: Path) -> None:
    tree = WorkingTree.around(root)
    tree.change(lambda pins: pin("faces"))
    tree.file.chmod(0o640)
    tree.change(lambda pins: pin("other"))
    assert tree.file.stat().st_mode & 0o777 == 0o640


def test_text_that_is_not_utf8_is_named(root: Path) -> None:
    tree = WorkingTree.around(root)
    tree.file.write_bytes(b"format = 1\n# \xff\n")
    with pytest.raises(InvalidInput, match=r"sheaf.lock: line 2: not UTF-8 text"):
        tree.pins()


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path) as disk:
        tree = WorkingTree(disk.root, has_git=False)
        tree.change(lambda pins: pin("faces"))
        before = tree.file.read_bytes()
        disk.fill(0)
        with pytest.raises(NoSpace):
            tree.change(lambda pins: pin("other"))
        assert tree.file.read_bytes() == before
        disk.make_room()
        tree.change(lambda pins: pin("other"))
        assert [*tree.pins()] == ["faces", "other"]
        assert not [path for path in disk.root.iterdir() if path.name.endswith(".new")]
