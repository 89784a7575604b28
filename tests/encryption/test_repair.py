"""What is lost or damaged in an encrypted store comes back from a replica, which holds the same encrypted otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.encryption.builders import KEY

import sheaf
from sheaf.errors import Corrupt, Denied
from sheaf.format import keys
from sheaf.repo.repair import RepairPlan, open_repairs


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """An encrypted store with a bundle, and its replica."""
    data = tmp_path / "data"
    data.mkdir()
    for n in range(20):
        (data / f"{n}.bin").write_bytes(bytes([n]) * 1000 * (n + 1))
    primary, copy = tmp_path / "primary", tmp_path / "copy"
    with sheaf.init(str(primary), key=KEY, probe=False) as store:
        store.replicas.add(str(copy), policy="all")
        store.create_repo("r").upload(data, message="m", label="v")
    return primary, copy


def _objects(place: Path, kind: str) -> list[Path]:
    return sorted(path for path in (place / kind).rglob("*") if path.is_file())


def _repair(primary: Path, plan: RepairPlan, key: bytes = KEY) -> None:
    with open_repairs(str(primary), key=key) as repairs:
        assert repairs.repair(plan, read_data=1.0).left.ok


def _assert_whole(primary: Path) -> None:
    with sheaf.connect(str(primary), key=KEY) as store:
        assert store.check(read_data=True).ok
        bundle = store.repo("r").bundle("v")
        assert [len(bundle.read(entry.path)) for entry in bundle.ls()] == [
            1000 * (int(entry.path.split(".")[0]) + 1) for entry in bundle.ls()
        ]


@pytest.mark.parametrize("how", ["lost", "header", "end"])
@pytest.mark.parametrize("kind", ["packs", "nodes"])
def test_contents_come_back(folders: tuple[Path, Path], kind: str, how: str) -> None:
    primary, _ = folders
    for path in _objects(primary, kind):
        data = bytearray(path.read_bytes())
        path.unlink()
        if how != "lost":
            data[40 if how == "header" else -1] ^= 1
            path.write_bytes(data)
    _repair(primary, RepairPlan(from_replica=""))
    _assert_whole(primary)


def test_the_only_slot_of_the_key_comes_back(folders: tuple[Path, Path]) -> None:
    primary, copy = folders
    (slot,) = _objects(primary, keys.SLOTS.rstrip("/"))
    slot.unlink()
    with pytest.raises(Corrupt, match="its keys/ is empty"):
        sheaf.connect(str(primary), key=KEY)
    with pytest.raises(Denied):
        _repair(primary, RepairPlan(from_replica=str(copy)), bytes(32))
    _repair(primary, RepairPlan(from_replica=str(copy)))
    _assert_whole(primary)


def test_an_index_is_built_anew_on_both(folders: tuple[Path, Path]) -> None:
    primary, copy = folders
    for path in _objects(primary, "index"):
        path.unlink()
    _repair(primary, RepairPlan(index=True))
    assert _objects(primary, "index")
    assert [path.name for path in _objects(primary, "index")] == [path.name for path in _objects(copy, "index")]
    _assert_whole(primary)
