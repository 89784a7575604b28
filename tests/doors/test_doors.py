"""A bundle is the same through whichever door it came, and through whichever it is looked at."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.doors.doors import READERS, WRITERS, Files, World, look

import sheaf
from sheaf.cli.verbs import SHEAF
from sheaf.cli.verbs import sheaf as verbs

pytestmark = pytest.mark.filterwarnings("ignore")  # IPython's, about virtual environments

EXECUTABLE = {"run.sh", "bin/deep/tool"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of one chunk and of many, none, an executable, names that need care, an empty folder."""
    root = tmp_path_factory.mktemp("folder")
    rng = random.Random(5)
    contents = {
        "a.txt": b"a",
        "empty": b"",
        "run.sh": b"#!/bin/sh\n",
        "bin/deep/tool": rng.randbytes(70_000),
        "data/big.bin": rng.randbytes(3 << 20),
        "data/again.bin": b"same " * 50_000,
        "data/ünï code": b"tief\n",
        "data/[x]*?.csv": b"1,2\n",
        "data.d/x": b"between data and data/",
    }
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if name in EXECUTABLE else 0o644)
    (root / "nothing").mkdir()
    return root


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    url = str(tmp_path / "store")
    with sheaf.init(url, options=sheaf.StorageOptions(durability="none")) as store:
        store.create_repo("faces")
        cli = Cli(home, verbs, SHEAF, {"SHEAF_STORE": url})
        yield World(url, store, cli, scratch)


@pytest.fixture(scope="module")
def expected(folder: Path) -> tuple[str, Files]:
    """The version, by the library's own upload, and the files."""
    with sheaf.init("memory://", probe=False) as store:
        return store.create_repo("r").upload(folder, message="expected").bundle.version, look(folder)


@pytest.mark.parametrize("write", WRITERS)
def test_every_door_writes_the_same_version_and_all_others_read_it(
    world: World, folder: Path, expected: tuple[str, Files], write: str
) -> None:
    version, files = expected
    WRITERS[write](world, folder)
    assert world.repo.bundle("main").version == version
    for read, reader in READERS.items():
        assert reader(world) == files, read
    assert not world.store.check(read_data=True).problems
