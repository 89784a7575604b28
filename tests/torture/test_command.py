"""``sheaf store torture`` as scripts see it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.torture.broken import Overwrites

from sheaf.storage.open import SCHEMES
from sheaf.storage.port import Buffer
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.torture.promises import DEPENDS

PROGRAM = "from sheaf.cli.main import main; main()"


def verdicts(record: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {finding["promise"]: finding["verdict"] for finding in record["promises"]}


def test_a_folder_keeps_everything(cli: Cli, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/disk?durability=none"
    done = cli("store", "torture", url, "--rounds", "1", "--seed", "3", "--json")
    record = done.object
    assert record["ok"] and record["seed"] == 3
    said = verdicts(record)
    assert set(said) == DEPENDS.keys() - {"old versions", "expiry and locks"}
    assert said.pop("durable files") == "skipped"
    assert set(said.values()) == {"passed"}
    assert all(finding["depends"] for finding in record["promises"])
    (played,) = record["rounds"]
    assert played["seed"] == "3.0" and played["trouble"] == "" and played["counts"]["kills"]
    assert {figure["operation"] for figure in record["requests"]} >= {"create", "get", "list", "delete"}
    assert not (tmp_path / "disk").exists()


def test_people_see_lines_or_a_table(cli: Cli) -> None:
    lines = cli("store", "torture", "memory://lines", "--rounds", "0").lines
    assert lines[0] == f"passed\tcreate-if-absent\t{DEPENDS['create-if-absent']}"
    assert "whole store: no rounds" in lines
    table = cli("store", "torture", "memory://table", "--rounds", "0", "--table").lines
    assert table[0].split("  ")[0] == "VERDICT"


def test_minutes_bound_the_rounds(cli: Cli) -> None:
    record = cli("store", "torture", "memory://minutes", "--minutes", "0.01", "--json").object
    assert len(record["rounds"]) >= 1
    assert record["ok"]


def test_what_is_kept_is_named(cli: Cli) -> None:
    done = cli("store", "torture", "memory://kept", "--rounds", "0", "--keep")
    assert "is kept below memory://kept/torture-" in done.err


def test_what_is_broken_is_named_and_decides_the_exit_code(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = SCHEMES["memory"]
    monkeypatch.setitem(SCHEMES, "memory", lambda location: Overwrites(plain(location)))
    done = cli("store", "torture", "memory://broken", code=6)
    assert "failed\tcreate-if-absent" in done.out
    assert "create-if-absent: a second create of a key replaced the object" in done.lines
    assert "whole store: a store requires the guarantees that failed" in done.lines
    assert "error: memory://broken failed " in done.err and "hint: store no data there" in done.err
    assert not cli("store", "torture", "memory://broken", "--json", code=6).object["ok"]


def test_one_broken_promise_is_one(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    class CutsRanges(WrapperBackend):
        def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
            return list(self.inner.get_ranges(key, ranges))[:1]

    plain = SCHEMES["memory"]
    monkeypatch.setitem(SCHEMES, "memory", lambda location: CutsRanges(plain(location)))
    done = cli("store", "torture", "memory://broken", "--rounds", "0", code=6)
    assert "error: memory://broken failed 1 check: byte ranges\n" in done.err


def test_a_store_is_not_touched(cli: Cli, tmp_path: Path) -> None:
    cli("store", "init", tmp_path / "store")
    refused = cli("store", "torture", tmp_path / "store", code=5)
    assert "there is a store" in refused.err and "choose another prefix" in refused.err


def test_a_place_that_can_not_be_written_to(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert cli("store", "torture", tmp_path / "file" / "x", code=None).code in {2, 5, 9}
    assert cli("store", "torture", "s3://b/x?endpoint=http://127.0.0.1:9&retries=0", code=8).err


# -- the process -------------------------------------------------------------------------------------------------------


def _started(args: list[str], home: Path, before: str = "") -> subprocess.Popen[str]:
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [sys.executable, "-c", before + PROGRAM, "store", "torture", *args]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.parametrize(
    ("number", "code", "moment"),
    [(signal.SIGINT, 130, "round-*/packs"), (signal.SIGTERM, 143, "exclusive-create-across-processes/race")],
)
def test_an_interrupt_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int, moment: str) -> None:
    location = tmp_path / "place"
    process = _started([f"file://{location}?durability=none", "--minutes", "5"], tmp_path)
    while process.poll() is None and not list(location.glob(f"torture-*/{moment}")):
        time.sleep(0.02)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert err == ("interrupted\n" if number == signal.SIGINT else "terminated\n")
    assert not location.exists()


def test_it_takes_no_library_of_the_tests(tmp_path: Path) -> None:
    blocked = "import sys; sys.modules.update({n: None for n in ('pytest', 'hypothesis', 'moto', 'boto3')}); "
    process = _started(["memory://plain", "--rounds", "1"], tmp_path, blocked)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "passed\twhole store" in out
