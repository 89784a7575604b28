"""Each side, and the server, is killed at each step: nobody hangs, no half database has the label, no server is left."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.sidecar.conftest import Process, wait_for
from tests.sidecar.kill_cases import CASES, KILL, STEPS, TERM, Case
from tests.sidecar.postgres.conftest import PostgresPod

from sheaf.errors import NotFound

pytestmark = pytest.mark.parts

GATED = (sys.executable, "-m", "tests.sidecar.gated_sidecar")


SERVER_CASES = [Case("running", "server", KILL, 125, 8), Case("running", "server", TERM, 125, 8)]


@pytest.fixture
def gated(postgres: PostgresPod) -> Iterator[PostgresPod]:
    home = postgres.pod.home
    (home / "gates").mkdir()
    postgres.pod.variables |= {"GATES": str(home / "gates"), "PYTHONPATH": str(Path(__file__).parents[3])}
    yield postgres


def _application(gated: PostgresPod) -> Process:
    """Writes one half, waits for the test, writes the other."""
    half = f"{gated.psql} -c 'create table half%s ()'"
    waits = "while [ ! -e go ]; do sleep 0.05; done"
    return gated.script(f"{half % 1} && touch running && {waits}; {half % 2}")


def _servers(gated: PostgresPod) -> list[int]:
    """The servers that run on the data of this test."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(gated.data).encode() in path.read_bytes() and b"/postgres\0" in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def _labelled(gated: PostgresPod) -> bool:
    """Whether a bundle has the label. It is a whole database then."""
    try:
        bundle = gated.store.repo("dbs").bundle("label:done")
    except NotFound:
        return False
    bundle.download(gated.data / "labelled")
    assert gated.state(gated.data / "labelled") == "shut down"
    return True


@pytest.mark.parametrize("case", [*CASES, *SERVER_CASES], ids=str)
def test_each_side_is_killed_at_each_step(gated: PostgresPod, case: Case) -> None:
    home = gated.pod.home
    gate, reached = STEPS[case.step]
    if gate is not None:
        (home / "gates" / f"{gate}.closed").touch()
    if case.step in ("saving", "committed"):
        (home / "go").touch()
    saves = ["--repo", "dbs", "--message", "m", "--label", "done", "-i", home / "id"]
    sides = {"application": _application(gated), "sidecar": gated.sidecar(*saves, module=GATED)}
    wait_for((home / reached).exists, case.step)
    if case.step == "starting":
        wait_for((home / "coord/db/application-running").exists, "the application")
    if case.victim == "server":
        os.kill(min(_servers(gated)), case.signal)
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
    assert _labelled(gated) == case.is_labelled
    if (home / "coord/db/dbuploaddone").exists():
        assert (home / "id").read_text().strip() == gated.store.repo("dbs").bundle("label:done").id
    else:
        assert not (home / "id").exists()
    wait_for(lambda: not _servers(gated), "the end of the server")
    assert gated.store.check().ok
