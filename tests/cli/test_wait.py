"""``sheaf wait``, as scripts and pods see it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.data import change


def test_it_prints_the_bundle_and_nothing_else(cli: Cli, faces: str) -> None:
    done = cli("wait", "--repo", "faces", "--label", "init", "--timeout", "0")
    assert (done.out, done.err) == (f"{faces}\n", "")
    told = cli("wait", "--repo", "faces", "--branch", "main", "--json").object
    assert (told["bundle"], told["branch"], told["label"]) == (faces, "main", None)


def test_time_out_is_exit_8(cli: Cli, faces: str) -> None:
    for missing in (
        ("faces", "--label", "v1"),
        ("faces", "--branch", "main", "--after", faces),
        ("new", "--label", "v1"),
    ):
        done = cli("wait", "--repo", *missing, "--timeout", "0", code=8)
        assert done.out == "" and done.err.startswith("error: timed out after 0 s: ")
    told = cli("wait", "--repo", "faces", "--label", "v1", "--timeout", "0", "--json", code=8)
    assert told.raw == b"" and '"kind":"timed-out"' in told.err.replace(" ", "")


def test_a_branch_beyond_a_bundle(cli: Cli, data: Path, faces: str) -> None:
    change(data)
    upload = cli("bundle", "upload", "--repo", "faces", "--path", data, "--message", "second")
    second = upload.lines[0].removeprefix("Uploaded bundle id:")
    assert cli("wait", "--repo", "faces", "--branch", "main", "--after", faces).out == f"{second}\n"


@pytest.mark.parametrize(
    "bad", [(), ("--label", "v1", "--branch", "main"), ("--label", ""), ("--label", "v1", "--after", "main")]
)
def test_what_could_never_happen_is_a_usage_error(cli: Cli, faces: str, bad: tuple[str, ...]) -> None:
    assert "error: " in cli("wait", "--repo", "faces", *bad, code=2).err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_once_and_cleanly(cli: Cli, faces: str, number: signal.Signals, code: int) -> None:
    path = os.environ.get("PYTHONPATH", "")
    environment = {"HOME": str(cli.home), "PATH": os.environ["PATH"], "PYTHONPATH": path, "LC_ALL": "C"}
    process = subprocess.Popen(
        [sys.executable, "-c", "from sheaf.cli.main import main; main()", "wait", "--repo", "faces", "--label", "v1"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None and process.stderr.readline() == b"waiting for label 'v1' of repo faces\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, b"")
    assert err in (b"interrupted\n", b"terminated\n")
