"""Edits of a bundle of a million files: renamed, pruned and appended to, counted in bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bench.million import build, folder_name

import sheaf
from sheaf.engine.clock import SystemClock
from sheaf.engine.core import create_store
from sheaf.repo.edit import Edit
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.wrappers.count import CountBackend

MOST = 10_000_000
APPENDED = b"0123456789" * 5_000


def million(files: int) -> tuple[CountBackend, Repo]:
    backend = CountBackend(MemoryBackend())
    create_store(backend, SystemClock())
    store = Store(backend)
    repo = store.create_repo("bench")
    build(repo.context.core, repo.id, files, frozenset(), "v0")
    with repo.edit(message="into one folder") as edit:
        for name in [entry.path for entry in repo.bundle().ls()]:
            edit.move(name, f"all/{name}")
        edit.commit()
    return backend, repo


def traffic(backend: CountBackend, change: Callable[[Edit], object]) -> tuple[int, sheaf.Bundle]:
    """The bytes that a process without a cache moves for an edit, in both directions."""
    with Store(backend) as store:
        backend.reset()
        with store.repo("bench").edit(message="m") as edit:
            change(edit)
            bundle = edit.commit()
        tally = backend.tally()
    return tally.bytes_in + tally.bytes_out, bundle


def measured(files: int) -> dict[str, int]:
    backend, repo = million(files)
    log = f"everything/{folder_name(3)}/item-000003005.bin"
    moved, renamed = traffic(backend, lambda edit: edit.move("all", "everything"))
    assert renamed.files == files
    pruned, fewer = traffic(backend, lambda edit: edit.remove(f"everything/{folder_name(files // 2000)}"))
    assert fewer.files == files - 1000
    appended, _ = traffic(backend, lambda edit: edit.append(log, APPENDED))
    assert repo.bundle().read(log).endswith(APPENDED)
    return {"rename": moved, "prune": pruned, "append": appended - len(APPENDED)}


@pytest.mark.slow
def test_a_million_files_are_edited_with_less_than_ten_megabytes() -> None:
    found = measured(1_000_000)
    assert max(found.values()) < MOST, found
