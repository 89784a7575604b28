"""A disk that is full is told in one line; nothing that was committed is lost; with room, the same command ends well."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture
from tests.engine.builders import commit
from tests.repair.builders import Files, contents, flip
from tests.repair.disks import KINDS, Disk, mounted

import sheaf
from sheaf.errors import NoSpace
from sheaf.format import keys
from sheaf.repo.repair import RepairPlan, open_repairs
from sheaf.storage.folder.backend import FolderBackend

LEAVE = (0, 12 << 10, 40 << 10, 150 << 10, 700 << 10, 1_600 << 10)
MIB = 1 << 20


def noise(name: str, size: int) -> bytes:
    return random.Random(name).randbytes(size)


@dataclass(frozen=True, slots=True)
class World:
    """A prepared store beside its replica, a folder to upload, and what is in each bundle that lives."""

    store: Path
    replica: Path
    folder: Path
    files: Files


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A pack that is dead, one that is half dead, one with a secret."""
    root = tmp_path_factory.mktemp("world")
    with sheaf.init(str(root / "store"), probe=False) as store:
        repo = store.create_repo("faces")
        half = {"stays": noise("stays", 700_000), **{f"goes{n}": noise(f"goes{n}", 400_000) for n in range(4)}}
        commit(repo, half, branch="half")
        with repo.edit(message="less", branch="main", base="half") as edit:
            for n in range(4):
                edit.remove(f"goes{n}")
            edit.commit()
        commit(repo, {"dead": noise("dead", 1_000_000)}, branch="dead")
        commit(repo, {"secret": noise("secret", 300_000), "near": noise("near", 500_000)})
        for name in ("half", "dead"):
            gone = repo.branch(name).bundle
            repo.delete_branch(name)
            repo.delete_bundle(gone)
        store.replicas.add(str(root / "replica"))
        store.replicas.remove(str(root / "replica"))
        files = contents(store)
    (root / "folder").mkdir()
    for n in range(5):
        (root / "folder" / f"new{n}").write_bytes(noise(f"new{n}", 500_000))
    return World(root / "store", root / "replica", root / "folder", files)


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with mounted(request.param, tmp_path) as disk:
        yield disk


# -- what is done on it ------------------------------------------------------------------------------------------------

Act = Callable[[Path, World], object]


def upload(store: Path, world: World) -> None:
    with sheaf.connect(str(store)) as opened:
        opened.repo("faces").upload(world.folder, message="up")


def collect(store: Path, world: World) -> None:
    with sheaf.connect(str(store)) as opened:
        opened.gc(grace=0)


def erase(store: Path, world: World) -> None:
    with sheaf.connect(str(store)) as opened:
        opened.erasure.erase(address="faces@main:secret", reason="x", now=True)


def repair(store: Path, plan: RepairPlan) -> None:
    with open_repairs(str(store)) as repairs:
        repairs.repair(plan, read_data=1)


def fetch(store: Path, world: World) -> None:
    repair(store, RepairPlan(from_replica=str(world.replica)))


def rebuild(store: Path, world: World) -> None:
    repair(store, RepairPlan(index=True))


def quarantine(store: Path, world: World) -> None:
    repair(store, RepairPlan(quarantine=True))


def untouched(store: Path) -> None:
    return


def without_packs(store: Path) -> None:
    """The largest pack is lost, and another one is damaged."""
    place = FolderBackend(store)
    sizes = sorted((stat.size, stat.key) for stat in place.list(keys.PACKS))
    place.delete(sizes[-1][1])
    flip(place, sizes[0][1])


def without_index(store: Path) -> None:
    shutil.rmtree(store / "index")


ACTS: dict[str, tuple[Callable[[Path], None], Act]] = {
    "upload": (untouched, upload),
    "gc": (untouched, collect),
    "erase": (untouched, erase),
    "repair --from-replica": (without_packs, fetch),
    "repair --index": (without_index, rebuild),
    "repair --quarantine": (without_packs, quarantine),
}


def kept(store: Path, world: World, name: str) -> None:
    """All bundles are as they were, but for what was damaged, and what is being erased."""
    with sheaf.connect(str(store)) as opened:
        found = contents(opened)
        report = opened.check(read_data=True)
    for id, files in world.files.items():
        for path, data in files.items():
            is_erased = name == "erase" and path == "secret" and found[id][path] == "erased"
            assert found[id][path] == data or is_erased or name.startswith("repair"), path
    assert name.startswith("repair") or not report.damaged, report.problems


@pytest.mark.parametrize("name", ACTS)
def test_a_full_disk_loses_nothing(disk: Disk, world: World, name: str) -> None:
    damage, act = ACTS[name]
    was_full = 0
    for leave in LEAVE:
        store = disk.root / "store"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(world.store, store)
        damage(store)
        disk.fill(leave)
        try:
            act(store, world)
        except NoSpace as error:
            was_full += 1
            assert "\n" not in error.message and str(disk.root) in error.message and error.hint, error.message
        kept(store, world, name)
        disk.make_room()
        act(store, world) if name != "erase" or _is_there(store) else None
        kept(store, world, name)
        with sheaf.connect(str(store)) as opened:
            assert not opened.check(read_data=True).damaged
            if name == "upload":
                assert opened.repo("faces").bundle("main").read("new4") == noise("new4", 500_000)
            if name == "gc":
                rest = opened.gc(grace=0, dry_run=True)
                assert (rest.packs, rest.moved, rest.nodes) == (0, 0, 0)
    assert was_full >= 1


def _is_there(store: Path) -> bool:
    with sheaf.connect(str(store)) as opened:
        return not opened.erasure.receipts()


def test_gc_gives_back_what_it_can_before_it_needs_room(disk: Disk, world: World) -> None:
    """The dead pack's megabyte goes first, and is more than the rest of the half-dead one takes."""
    store = disk.root / "store"
    shutil.copytree(world.store, store)
    disk.fill(150 << 10)
    collect(store, world)
    assert disk.free > MIB


def test_gc_says_how_much_room_it_needs_and_goes_on_when_it_has_it(disk: Disk, world: World) -> None:
    store = disk.root / "store"
    with sheaf.init(str(store), probe=False) as opened:
        repo = opened.create_repo("faces")
        whole = repo.upload(world.folder, message="whole").bundle.id
        with repo.edit(message="less") as edit:
            for n in range(3):
                edit.remove(f"new{n}")
            edit.commit()
        repo.delete_bundle(whole)
    disk.fill(100 << 10)
    before = disk.free
    with pytest.raises(NoSpace, match=r"1 half-empty packs can't be repacked \(\d+ bytes") as caught:
        collect(store, world)
    assert "free 10" in caught.value.hint
    assert disk.free >= before - (24 << 10), "what was written of the new pack was taken back"
    disk.make_room()
    collect(store, world)
    with sheaf.connect(str(store)) as opened:
        assert opened.check(read_data=True).ok
        assert opened.repo("faces").bundle("main").read("new4") == noise("new4", 500_000)
        assert opened.gc(grace=0, dry_run=True).moved == 0


def test_the_command_line_says_it_in_two_lines(disk: Disk, world: World, cli: Cli) -> None:  # noqa: F811
    shutil.copytree(world.store, disk.root / "store")
    disk.fill(40 << 10)
    told = cli(
        "bundle",
        "upload",
        "--store",
        disk.root / "store",
        "--repo",
        "faces",
        "--path",
        world.folder,
        "--message",
        "m",
        code=10,
    )
    error, hint = told.err.splitlines()
    assert error.startswith("error: can't write packs/") and hint.startswith("hint: free space")


def test_a_cache_on_a_full_disk_is_no_matter(disk: Disk, world: World, tmp_path: Path, cli: Cli) -> None:  # noqa: F811
    shutil.copytree(world.store, tmp_path / "store")
    cli.variables["SHEAF_CACHE"] = str(disk.root / "cache")
    for leave in LEAVE:
        disk.fill(leave)
        said = cli(
            "bundle",
            "upload",
            *("--store", tmp_path / "store", "--repo", "faces", "--path", world.folder, "--message", f"m{leave}"),
        )
        assert said.lines and said.err.count("\n") == 1 and "stored" in said.err  # the summary, no complaint
        cli("store", "check", "--store", tmp_path / "store", "--read-data")
        disk.make_room()
    cli("cache", "clear")
