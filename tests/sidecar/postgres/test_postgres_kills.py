"""Each side, and the server, is killed at each step: nobody hangs, no half database has the label, no server is left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.sidecar.conftest import Process, wait_for
from tests.sidecar.kill_cases import (
    CASES,
    DOWNLOAD_CASES,
    DUMP_CASES,
    KILL,
    PROGRAM_CASES,
    SERVER_CASES,
    STEPS,
    VACUUM_CASES,
    Case,
)
from tests.sidecar.postgres.conftest import PostgresPod, free_port, missing_server

from sheaf.errors import NotFound
from sheaf.sidecar.postgres.programs import find_programs

pytestmark = [pytest.mark.parts, pytest.mark.skipif(bool(missing_server()), reason=missing_server())]

GATED = (sys.executable, "-m", "tests.sidecar.gated_sidecar")
#: PostgreSQL's programs that wait at a gate of their name.
WAITING = ("pg_dump", "vacuumdb")
WAITS = """
touch {gates}/before-{name}.reached
while [ -e {gates}/before-{name}.closed ]; do sleep 0.05; done
"""
FIRST_GENERATION = {
    "dm_pg_opts": ";:c:{coord};V:false",
    "dm_pg_db_one": ";:p:{port};m:m;r:dbs;l:done",
    "dm_pg_db_two": ";:p:{other};m:m;r:dbs;l:other;sr:dbs;sl:init",
}
SECOND_GENERATION = """
globalOpts: {{coordPoint: {coord}}}
database: {{name: db, pgPort: "{port}", srcRepo: dbs, srcLabel: init, destRepo: dbs, destMessage: m, destLabel: done,
  destBundleID: {home}/id}}
"""


@pytest.fixture
def gated(postgres: PostgresPod) -> Iterator[PostgresPod]:
    gates = postgres.data / "gates"  # open to the server's user
    gates.mkdir()
    gates.chmod(0o777)
    (postgres.pod.home / "gates").symlink_to(gates)
    (postgres.data / "bin").mkdir()
    programs = find_programs(None, os.environ)
    for path in programs.folder.iterdir():
        waits = WAITS.format(gates=gates, name=path.name) if path.name in WAITING else ""
        wrapper = postgres.data / "bin" / path.name
        wrapper.write_text(f'#!/bin/sh\n{waits}exec {path} "$@"\n')
        wrapper.chmod(0o755)
    postgres.pod.variables |= {"GATES": str(gates), "PYTHONPATH": str(Path(__file__).parents[3])}
    yield postgres


@pytest.fixture(scope="module")
def data_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a blank server, as it is in a bundle."""
    folder = Path(tempfile.mkdtemp(prefix="sheaf-tests-")) if os.geteuid() == 0 else tmp_path_factory.mktemp("data")
    initdb = [find_programs(None, os.environ)["initdb"], "-D", str(folder / "raw"), "-U", "postgres", "--no-sync"]
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        account = {"user": "postgres", "cwd": "/"}
    options = ["--auth=trust", "--encoding=UTF8", "--no-locale"]
    subprocess.run([*initdb, *options], check=True, capture_output=True, **account)
    target = tmp_path_factory.mktemp("bundle") / "raw"
    shutil.copytree(folder / "raw", target)
    shutil.rmtree(folder)
    return target


def _application(gated: PostgresPod, kind: str) -> Process:
    """Writes one half, waits for the test, writes the other."""
    half = f"{gated.psql} -c 'create table half%s ()'"
    waits = "while [ ! -e go ]; do sleep 0.05; done"
    program = f"echo $$ >pid; {half % 1} && touch running && {waits}; {half % 2}"
    if kind != "first generation":
        return gated.script(program)
    return gated.pod.application("-b", "postgres", "-l", 5, "-t", 120, "-g", 1, "--", "sh", "-c", program)


def _sidecar(gated: PostgresPod, kind: str, data_files: Path) -> Process:
    saves = ["--repo", "dbs", "--message", "m", "--label", "done", "-i", gated.pod.home / "id"]
    programs = ["--bin-dir", gated.data / "bin"]
    if kind in ("raw", "dump"):
        return gated.sidecar(*saves, "--form", kind, *programs, module=GATED)
    gated.store.repo("dbs").upload(data_files, message="blank", label="init")
    values = {
        "coord": gated.pod.home / "coord",
        "home": gated.pod.home,
        "port": gated.port,
        "other": free_port(),
    }
    if kind == "first generation":
        gated.pod.variables |= {key: text.format(**values) for key, text in FIRST_GENERATION.items()}
    else:
        gated.pod.variables["SIDECAR_CONFIG"] = SECOND_GENERATION.format(**values)
    quick = ["--poll-interval", "0.1", "--lost-timeout", "5", "--save-timeout", "120", "--start-timeout", "120"]
    place = ["--data-dir", gated.data / "coord"]
    return gated.pod.start(*GATED, "sidecar", "postgres", *quick, *place, *programs)


def _servers(gated: PostgresPod) -> list[int]:
    """The servers that run on the data of this test."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(gated.data).encode() in path.read_bytes() and b"/postgres\0" in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def _labelled(gated: PostgresPod, label: str) -> bool:
    """Whether a bundle has the label. It is a whole database then."""
    try:
        bundle = gated.store.repo("dbs").bundle(f"label:{label}")
    except NotFound:
        return False
    target = gated.data / f"labelled-{label}"
    shutil.rmtree(target, ignore_errors=True)
    bundle.download(target)
    if not (target / "roles.sql").exists():
        assert gated.state(target) == "shut down"
    else:
        command = [find_programs(None, os.environ)["pg_restore"], "-l", str(target / "databases/postgres")]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "half1" in listed and "half2" in listed
    return True


def _are_up(gated: PostgresPod) -> bool:
    files = list((gated.data / "coord").glob("*/postmaster.pid"))
    return any("ready" in path.read_text() for path in files)


RAW = (*CASES, *PROGRAM_CASES, *SERVER_CASES, *VACUUM_CASES)
DUMP = (*CASES, *PROGRAM_CASES, *SERVER_CASES, *DUMP_CASES)
TABLE = {
    "raw": RAW,
    "dump": DUMP,
    "first generation": (*RAW, *DOWNLOAD_CASES),
    "second generation": (*RAW, *DOWNLOAD_CASES),
}


def _rows() -> Iterator[object]:
    for kind, cases in TABLE.items():
        for case in cases:
            is_short = kind == "raw" and case.step not in ("vacuuming", "dumping")
            yield pytest.param(kind, case, id=f"{kind}-{case}", marks=[] if is_short else [pytest.mark.slow])


@pytest.mark.parametrize(("kind", "case"), list(_rows()))
def test_each_side_is_killed_at_each_step(gated: PostgresPod, data_files: Path, kind: str, case: Case) -> None:
    home = gated.pod.home
    gate, reached = STEPS[case.step]
    if gate is not None:
        (home / "gates" / f"{gate}.closed").touch()
    if case.step in ("saving", "committed", "vacuuming", "dumping"):
        (home / "go").touch()
    sides = {"application": _application(gated, kind), "sidecar": _sidecar(gated, kind, data_files)}
    folder = home / "coord" / ("" if kind == "first generation" else "db")
    wait_for((home / reached).exists, case.step)
    if case.step in ("starting", "downloading"):
        wait_for((folder / "application-running").exists, "the application")
    if case.victim == "server":
        if case.step == "starting":
            wait_for(lambda: _are_up(gated), "the server")
        os.kill(min(_servers(gated)), case.signal)
    elif case.victim == "program":
        os.kill(int((home / "pid").read_text()), case.signal)
    elif case.signal == KILL and case.victim == "sidecar":
        os.kill(sides["sidecar"].popen.pid, KILL)  # it alone: the kernel has to end its children
    else:
        sides[case.victim].signal(case.signal)
    if case.victim == "application":
        sides[case.victim].end()  # before the other side goes on
    if gate is not None:
        (home / "gates" / f"{gate}.closed").unlink()
    codes = {name: side.end() for name, side in sides.items()}
    said = "\n".join(f"{name}: {side.out}{side.err}" for name, side in sides.items())
    assert codes == {"application": case.application, "sidecar": case.sidecar}, said
    _check(gated, kind, case, codes, folder)


def _check(gated: PostgresPod, kind: str, case: Case, codes: dict[str, int], folder: Path) -> None:
    """What holds after each run."""
    home, is_labelled = gated.pod.home, _labelled(gated, "done")
    if kind == "first generation" and case.step in ("committed", "vacuuming"):
        # Two databases are saved at the same time, so that one may be committed when the other has not begun.
        both = (is_labelled, _labelled(gated, "other"))
        assert all(both) == case.is_labelled or (case.signal == KILL and case.victim == "sidecar")
    else:
        assert is_labelled == case.is_labelled
    if codes["application"] == 0 or (folder / "dbuploaddone").exists():
        assert is_labelled
        assert kind != "first generation" or _labelled(gated, "other")
    if kind != "first generation" and (folder / "dbuploaddone").exists():
        assert (home / "id").read_text().strip() == gated.store.repo("dbs").bundle("label:done").id
    else:
        assert not (home / "id").exists()
    wait_for(lambda: not _servers(gated), "the end of the server")
    assert gated.store.check().ok
