"""What worker processes of uploads and downloads are started with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sheaf.transfer import worker_process
from sheaf.transfer.worker_process import Worker, start_worker

STATE = (
    "import os, sys; print(sys.flags.isolated, sys.flags.ignore_environment, sys.flags.utf8_mode, sys.flags.safe_path)"
)


@pytest.mark.parametrize(("options", "expected"), [([], "0 0 1 True"), (["-E"], "0 1 1 True"), (["-I"], "1 1 1 True")])
def test_a_worker_finds_the_same_packages_and_decodes_names_as_utf8(options: list[str], expected: str) -> None:
    """The locale of a worker may say Latin-1 where an option of its parent says UTF-8."""
    ask = f"""
import subprocess
from sheaf.transfer.worker_process import _command
command = _command({sys.executable!r})
assert command.pop() == "-m"
print(subprocess.run([*command, "-c", {STATE!r}], capture_output=True, text=True, check=True).stdout, end="")
"""
    environment = os.environ | {"PYTHONUTF8": "0", "LC_ALL": "C"}
    said = subprocess.run(
        [sys.executable, *options, "-X", "utf8", "-c", ask], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == expected


@pytest.fixture
def old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")


def test_memory_without_the_call_of_new_systems(old_python: None) -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("the system has no files in memory")
    with worker_process._memory(1 << 20) as file:
        status = os.fstat(file.fileno())
        assert status.st_size == 1 << 20
        assert status.st_blocks * 512 >= 1 << 20, "the space is allocated: a write can't fail"
        assert status.st_dev == Path("/dev/shm").stat().st_dev


@pytest.mark.parametrize("where", ["nowhere", "full"])
def test_no_memory_is_no_worker_and_no_file_on_a_disk(
    old_python: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "no space")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(os, "posix_fallocate", full)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"no space|No such file"):
        worker_process._memory(1 << 20, str(tmp_path / where if where == "nowhere" else tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before
    assert not list(tmp_path.iterdir())


def test_a_python_that_can_not_be_started_leaves_nothing(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="No such file"):
        start_worker(str(tmp_path / "python"), "json", 1 << 20)
    assert len(os.listdir("/proc/self/fd")) == before


def test_memory_that_is_referenced_is_left_to_its_reference() -> None:
    before = len(os.listdir("/proc/self/fd"))
    process, connection, memory = start_worker(sys.executable, "json", 1 << 20)
    process.kill()
    process.wait()
    view = memoryview(memory)
    Worker(process, connection, memory).close()
    view.release()
    del memory, view
    assert len(os.listdir("/proc/self/fd")) == before
