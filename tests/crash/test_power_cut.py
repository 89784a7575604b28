"""The power goes while a folder store is written to: what was acknowledged is there afterwards, whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.crash.builders import World, process

from sheaf.engine.core import create_store
from sheaf.errors import NotFound
from sheaf.storage.port import Backend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.invariants import assert_sound
from sheaf.testing.powercut import RecordingSyscalls, survives_every_power_cut

STEP = 17  # system calls from one cut to the next; a prime, so that the cuts fall everywhere within writes


def work(world: World, backend: Backend, acknowledged: list[Any]) -> None:
    """A person's first minutes with a store: each line is acknowledged when it is done."""
    create_store(backend, SteeredClock("store"))
    acknowledged.append(("store", ""))
    with process(backend, "actor") as store:
        repo = store.create_repo("faces")
        acknowledged.append(("repo", "faces"))
        first = repo.upload(world.folder / "one", message="one", label="v1", on_commit=told(acknowledged)).bundle
        acknowledged.append(("label", "v1"))
        repo.upload(world.folder / "second", message="two", on_commit=told(acknowledged))
        repo.set_label("v2", f"bundle:{first.id}")
        acknowledged.append(("label", "v2"))
        diamond = repo.create_diamond()
        diamond.add_split(world.folder / "two", split_id="one")
        diamond.commit(message="joined", branch="dev", on_commit=told(acknowledged))
        acknowledged.append(("branch", "dev"))


def told(acknowledged: list[Any]) -> Any:
    return lambda bundle: acknowledged.append(("bundle", bundle.id))


def kept(world: World, backend: Backend, acknowledged: list[Any]) -> None:
    """All that was acknowledged is there, all that is there is sound, and work can go on."""
    try:
        with process(backend, "checker") as store:
            assert_sound(store)
            for kind, name in acknowledged:
                if kind == "repo":
                    store.repo(name)
                elif kind != "store":
                    store.repo("faces").bundle(f"{kind}:{name}")
    except NotFound as error:
        if acknowledged:
            raise AssertionError(error.message) from error
        create_store(backend, SteeredClock("again"))
    with process(backend, "next") as store:
        repo = store.repo("faces") if ("repo", "faces") in acknowledged or store.repos() else store.create_repo("faces")
        repo.upload(world.folder / "one", message="again").bundle.verify()


@pytest.mark.parametrize("start", range(2))
def test_no_cut_loses_what_was_acknowledged(world: World, tmp_path: Path, start: int) -> None:
    def calls(base: Path, stop_at: int | None) -> RecordingSyscalls:
        return RecordingSyscalls(base, None if stop_at is None else stop_at + start * (STEP // 2))

    survives_every_power_cut(
        tmp_path,
        lambda backend, acknowledged: work(world, backend, acknowledged),
        lambda backend, acknowledged: kept(world, backend, acknowledged),
        calls=calls,
        step=STEP,
    )


@pytest.mark.slow
def test_no_cut_at_any_system_call_loses_what_was_acknowledged(world: World, tmp_path: Path) -> None:
    survives_every_power_cut(
        tmp_path,
        lambda backend, acknowledged: work(world, backend, acknowledged),
        lambda backend, acknowledged: kept(world, backend, acknowledged),
    )


class ForgetsFiles(RecordingSyscalls):
    """A disk that only claims to have synced what is in files."""

    def sync_file(self, fd: int) -> None:
        pass


def test_a_disk_that_does_not_sync_is_noticed(world: World, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"damaged|missing|lost|truncated|not JSON|no store"):
        survives_every_power_cut(
            tmp_path,
            lambda backend, acknowledged: work(world, backend, acknowledged),
            lambda backend, acknowledged: kept(world, backend, acknowledged),
            calls=ForgetsFiles,
            step=STEP,
        )
