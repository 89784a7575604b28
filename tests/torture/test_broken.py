"""Every promise can be found broken, by its name: what finds nothing proves nothing."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path

import pytest
from tests.torture import broken

from sheaf.storage.folder.syscalls import Syscalls
from sheaf.storage.storage_options import StorageOptions
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.torture.promises import DEPENDS
from sheaf.torture.runner import TorturePlan, TortureReport, torture
from sheaf.torture.scratch_location import ScratchLocation, scratch
from sheaf.torture.timing import Timings
from sheaf.torture.trial import Scale
from sheaf.torture.whole_store.rounds import play

SMALL = TorturePlan(1, rounds=0, scale=Scale(large=70_000, many=40, longest_key=900))
_numbers = itertools.count()


def memory(wrap: type[WrapperBackend] = WrapperBackend) -> ScratchLocation:
    return ScratchLocation(f"memory://broken-{next(_numbers)}", StorageOptions(), wrap)


def folder(path: Path, wrap: type[WrapperBackend] = WrapperBackend) -> ScratchLocation:
    return ScratchLocation(path.as_uri(), StorageOptions(durability="none"), wrap)


def tortured(location: ScratchLocation, plan: TorturePlan = SMALL) -> TortureReport:
    with scratch(location, keep=True) as found:
        return torture(found, plan)


def names(report: TortureReport) -> set[str]:
    return {finding.promise for finding in report.broken}


IN_ONE_PROCESS = {
    broken.IgnoresTheCondition: "create-if-absent",
    broken.Overwrites: "create-if-absent",
    broken.ClobbersTogether: "exclusive create",
    broken.DisownsItsObjects: "lost responses",
    broken.LosesAWrite: "no lost writes",
    broken.ListsLate: "list after write",
    broken.ShortReads: "byte ranges",
    broken.DropsEmptyBuffers: "sizes and buffers",
    broken.FoldsCase: "keys",
    broken.SortsByFolder: "listing order",
    broken.KeepsWhatIsDeleted: "delete",
    broken.KeepsWhatIsReplaced: "replace",
    broken.RaisesWhatItLikes: "read after write",
}
OF_A_CERTAIN_SIZE = {broken.CutsLargeObjects: "large objects", broken.ListsOnePage: "long listings"}
BETWEEN_PROCESSES = {
    broken.ClobbersBetweenProcesses: "exclusive create across processes",
    broken.ListsLateElsewhere: "list after write across processes",
    broken.TornWrites: "atomic writes",
}
IN_ROUNDS = (broken.LosesPacks, broken.OverwritesRecords)


@pytest.mark.parametrize(("wrap", "promise"), IN_ONE_PROCESS.items())
def test_it_is_found_out(wrap: type[WrapperBackend], promise: str) -> None:
    report = tortured(memory(wrap))
    assert promise in names(report)
    whole = report.findings[-1]
    assert (whole.promise, whole.verdict) == ("whole store", "skipped")


@pytest.mark.parametrize(("wrap", "promise"), OF_A_CERTAIN_SIZE.items())
def test_it_is_found_out_with_the_sizes_of_the_command(wrap: type[WrapperBackend], promise: str) -> None:
    assert names(tortured(memory(wrap), TorturePlan(1, rounds=0))) == {promise}


@pytest.mark.parametrize(("wrap", "promise"), BETWEEN_PROCESSES.items())
def test_it_is_found_out_by_several_processes_only(wrap: type[WrapperBackend], promise: str, tmp_path: Path) -> None:
    assert promise in names(tortured(folder(tmp_path, wrap)))


@pytest.mark.parametrize("wrap", IN_ROUNDS)
def test_it_is_found_out_by_a_store_only(wrap: type[WrapperBackend]) -> None:
    assert any(play(memory(wrap), f"{seed}", Timings()).trouble for seed in range(12))


def test_a_disk_that_flushes_nothing_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Syscalls, path: str) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    from sheaf.torture.surroundings import check_folder

    monkeypatch.setattr(Syscalls, "sync_folder", fails)
    found = check_folder(ScratchLocation(tmp_path.as_uri(), StorageOptions()), tmp_path)
    assert [finding.promise for finding in found if finding.verdict == "failed"] == ["durable files"]


def test_a_folder_whose_links_replace_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sheaf.torture.surroundings import check_folder

    monkeypatch.setattr(Syscalls, "link", lambda self, source, target: os.replace(source, target))
    found = check_folder(folder(tmp_path), tmp_path)
    assert [finding.promise for finding in found if finding.verdict == "failed"] == ["exclusive link or rename"]


def test_every_promise_has_somebody_who_breaks_it_here() -> None:
    found = {*IN_ONE_PROCESS.values(), *OF_A_CERTAIN_SIZE.values(), *BETWEEN_PROCESSES.values()}
    surroundings = {"durable files", "exclusive link or rename", "whole store"}
    informs = {"file names", "file system", "old versions", "expiry and locks"}  # these are only told
    assert found | surroundings | informs == DEPENDS.keys()


def test_a_sound_place_breaks_nothing() -> None:
    report = tortured(memory())
    assert not report.broken
    assert {finding.verdict for finding in report.findings} == {"passed", "skipped"}
