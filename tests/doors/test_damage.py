"""Only what is not there reads as not there: a lost object is damage, at every door."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.doors.doors import World, mounted
from tests.engine.builders import commit, noise

import sheaf
from sheaf.cli.verbs import SHEAF
from sheaf.cli.verbs import sheaf as verbs
from sheaf.errors import Corrupt
from sheaf.fsspec import SheafFileSystem

EXIT_DAMAGE = 6
FILES = {"a.txt": b"a", "data/big": noise(400_000), "data/small": b"small"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    url = str(tmp_path / "store")
    with sheaf.init(url, options=sheaf.StorageOptions(durability="none")) as store:
        repo = store.create_repo("faces")
        commit(repo, FILES)
        commit(repo, {"later": b"later"})  # the first one is known by a record alone
        yield World(url, store, Cli(home, verbs, SHEAF, {"SHEAF_STORE": url}), scratch)


def lose_nodes(world: World) -> None:
    lose(world, "nodes/*/*")


def lose_packs(world: World) -> None:
    lose(world, "packs/*/*")


def lose_record(world: World) -> None:
    lose(world, "repos/*/log/*/999999999999999.json")


def lose(world: World, pattern: str) -> None:
    found = list(Path(world.url).glob(pattern))
    assert found
    for path in found:
        path.unlink()


def first(world: World) -> str:
    """The id of the first bundle."""
    return next(iter(world.repo.bundles())).id


# -- nodes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["exists", "isfile", "isdir", "info", "ls", "find", "walk", "glob", "du", "cat"])
def test_a_lost_node_by_fsspec(world: World, call: str) -> None:
    lose_nodes(world)
    fs = SheafFileSystem(store=world.url, skip_instance_cache=True)
    path = "faces@main/*" if call == "glob" else "faces@main/a.txt" if call == "cat" else "faces@main/data"
    with pytest.raises(OSError, match="missing") as caught:
        found = getattr(fs, call)(path)
        list(found) if call == "walk" else found
    assert caught.value.errno == errno.EIO
    fs.access.connection.close()


@pytest.mark.parametrize(
    "words",
    [
        ("ls", "faces@main"),
        ("ls", "faces@main:data"),
        ("ls", "faces@main:nothing"),
        ("cat", "faces@main:a.txt"),
        ("bundle", "list", "files", "--repo", "faces"),
        ("diff", "faces@main~1", "faces@main"),
        ("log", "faces:a.txt"),
    ],
)
def test_a_lost_node_by_command_line(world: World, words: tuple[str, ...]) -> None:
    lose_nodes(world)
    done = world.cli(*words, code=None)
    assert done.code == EXIT_DAMAGE, done.err or done.out
    assert "missing" in done.err


READS: dict[str, Callable[[sheaf.Bundle], object]] = {
    "ls": lambda bundle: list(bundle.ls()),
    "ls -r": lambda bundle: list(bundle.ls(recursive=True)),
    "entry": lambda bundle: bundle.entry("nothing"),
    "read": lambda bundle: bundle.read("a.txt"),
    "batches": lambda bundle: list(bundle.batches()),
    "view": lambda bundle: bundle.view.follow("data/nothing"),
}


@pytest.mark.parametrize("name", READS)
def test_a_lost_node_by_python(world: World, name: str) -> None:
    lose_nodes(world)
    with sheaf.connect(world.url) as store, pytest.raises(Corrupt, match="missing"):
        READS[name](store.repo("faces").bundle())


def test_lost_objects_by_a_mount(world: World) -> None:
    older = first(world)
    lose_nodes(world)
    lose_record(world)
    with mounted(world) as mounts:
        mount = mounts.start("store", "mount")
        for path in ("main/a.txt", "main/nothing", "main/data", older, f"{older}/a.txt"):
            with pytest.raises(OSError, match="Input/output") as caught:
                (mount.folder / "faces" / path).stat()
            assert caught.value.errno == errno.EIO, path
        with pytest.raises(FileNotFoundError):
            (mount.folder / "nothing").stat()


# -- packs and records -------------------------------------------------------------------------------------------------


def test_a_lost_pack(world: World) -> None:
    lose_packs(world)
    fs = SheafFileSystem(store=world.url, skip_instance_cache=True)
    with pytest.raises(OSError, match="missing") as caught:
        fs.cat("faces@main/a.txt")
    assert caught.value.errno == errno.EIO
    fs.access.connection.close()
    assert world.cli("cat", "faces@main:data/big", code=None).code == EXIT_DAMAGE
    assert world.cli("download", "faces@main", world.scratch / "out", code=None).code == EXIT_DAMAGE


def test_a_lost_record_is_no_bundle_that_nobody_made(world: World) -> None:
    older = first(world)
    lose_record(world)
    for words in (("ls", f"faces@{older}"), ("bundle", "list", "--repo", "faces"), ("log", "faces")):
        done = world.cli(*words, code=None)
        assert done.code == EXIT_DAMAGE, done.err or done.out
    fs = SheafFileSystem(store=world.url, skip_instance_cache=True)
    with pytest.raises(OSError, match="missing") as caught:
        fs.exists(f"faces@{older}/a.txt")
    assert caught.value.errno == errno.EIO
    fs.access.connection.close()
