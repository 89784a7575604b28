"""Each side is killed at each step of the protocol: nobody hangs, nothing acknowledged is lost, no half bundle has the label.

Both sides are processes and share a folder, as two containers do; the store is a real one. Each case says which side
gets which signal at which step, and what both end with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.mount.conftest import is_mounted, missing
from tests.sidecar.conftest import Pod, Process, wait_for
from tests.sidecar.kill_cases import CASES, KILL, MOUNT_CASES, PROGRAM_CASES, STEPS, TERM, Case

import sheaf
from sheaf.errors import NotFound

UPLOAD = "bundle upload --repo results --path out --message result --label done"
WHOLE = {"a": b"first half", "b": b"second half"}
#: Two mounts, one of them with all bytes on demand, and two uploads.
SEVERAL = (
    "bundle mount --repo faces --label init --mount in --stream",
    "bundle mount --repo faces --label init --mount more-in",
    UPLOAD,
    "bundle upload --repo results --path more-out --message result --label other",
)
MOUNTS = ("in", "more-in")
#: Writes one half, waits for the test, writes the other.
PROGRAM = """
echo $$ >pid
printf 'first half' >out/a
cp out/a more-out/a
touch running
while [ ! -e go ]; do sleep 0.02; done
printf 'second half' >out/b
cp out/b more-out/b
"""


@dataclass
class World:
    """A pod whose application writes two files that the sidecar uploads under a label."""

    pod: Pod
    store: sheaf.Store

    def _command(self) -> list[object]:
        command = [sys.executable, "-m", "tests.sidecar.gated_sidecar", "sidecar", "fuse", "-c", self.pod.coord]
        quick = ["--poll-interval", "0.05", "--lost-timeout", "2", "--save-timeout", "60", "--start-timeout", "60"]
        return [*command, *quick]

    def sidecar(self, *options: object) -> Process:
        return self.pod.start(*self._command(), "-d", UPLOAD, "-i", self.pod.home / "id", *options)

    def several(self) -> Process:
        """A sidecar with several mounts and uploads."""
        words = [word for command in SEVERAL for word in ("-d", command)]
        return self.pod.start(*self._command(), *words)

    def application(self) -> Process:
        return self.pod.application("-b", "fuse", "-l", 2, "-t", 60, "-g", 1, "--", "sh", "-c", PROGRAM)

    def close(self, gate: str | None) -> None:
        if gate is not None:
            (self.pod.home / "gates" / f"{gate}.closed").touch()

    def open(self, gate: str | None) -> None:
        if gate is not None:
            (self.pod.home / "gates" / f"{gate}.closed").unlink()

    def labelled(self, label: str = "done") -> dict[str, bytes] | None:
        """The files of the bundle that has the label; None if no bundle has it."""
        try:
            return files(self.store.repo("results").bundle(f"label:{label}"))
        except NotFound:
            return None


def files(bundle: sheaf.Bundle) -> dict[str, bytes]:
    return {entry.path: bundle.read(entry.path) for entry in bundle.ls(recursive=True) if entry.kind == "file"}


@pytest.fixture
def world(pod: Pod, tmp_path: Path) -> Iterator[World]:
    for name in ("gates", "out", "more-out"):
        (tmp_path / name).mkdir()
    url = f"file://{tmp_path}/store"
    root = str(Path(__file__).parents[2])
    pod.variables |= {"SHEAF_STORE": url, "GATES": str(tmp_path / "gates"), "PYTHONPATH": root}
    with sheaf.init(url, probe=False) as store:
        store.create_repo("results")
    with sheaf.connect(url) as store:
        yield World(pod, store)


#: Those that are run with all other tests, since each is another way to end.
QUICK = (
    "starting-sidecar-SIGKILL",
    "running-application-SIGKILL",
    "saving-sidecar-SIGKILL",
    "committed-sidecar-SIGKILL",
)


def _marked(case: Case) -> object:
    return pytest.param(case, id=str(case), marks=[] if str(case) in QUICK else [pytest.mark.parts])


@pytest.mark.parametrize("case", [_marked(case) for case in (*CASES, *PROGRAM_CASES)])
def test_each_side_is_killed_at_each_step(world: World, case: Case) -> None:
    codes, said = _kill(world, case, world.sidecar)
    assert codes == {"application": case.application, "sidecar": case.sidecar}, said
    assert world.labelled() == (WHOLE if case.is_labelled else None)
    _check(world, codes)


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize("case", (*CASES, *PROGRAM_CASES, *MOUNT_CASES), ids=str)
def test_each_side_of_several_mounts_and_uploads_is_killed_at_each_step(world: World, case: Case) -> None:
    (world.pod.home / "folder").mkdir()
    (world.pod.home / "folder/name").write_text("x")
    world.store.create_repo("faces").upload(world.pod.home / "folder", message="m", label="init")
    codes, said = _kill(world, case, world.several)
    assert codes == {"application": case.application, "sidecar": case.sidecar}, said
    assert world.labelled() == (WHOLE if case.is_labelled else None)
    assert world.labelled("other") in (None, WHOLE)
    if codes["application"] == 0 or codes["sidecar"] == 0 or (world.pod.coord / "uploaddone").exists():
        assert (world.labelled(), world.labelled("other")) == (WHOLE, WHOLE)
    for name in MOUNTS:
        wait_for(lambda name=name: not is_mounted(world.pod.home / name), f"the end of the mount {name}")  # type: ignore[misc]
    assert world.store.check().ok


def _kill(world: World, case: Case, start: Callable[[], Process]) -> tuple[dict[str, int], str]:
    """Let the victim get its signal at the step. Returns how both sides have ended, and what they said."""
    gate, reached = STEPS[case.step]
    world.close(gate)
    if case.step in ("saving", "committed"):
        (world.pod.home / "go").touch()
    sides = {"application": world.application(), "sidecar": start()}
    wait_for((world.pod.home / reached).exists, case.step)
    if case.step in ("starting", "mounting"):
        wait_for((world.pod.coord / "application-running").exists, "the application")
    _strike(world, case, sides)
    if case.victim == "application":
        sides["application"].end()  # before the other side goes on
    world.open(gate)
    codes = {name: side.end() for name, side in sides.items()}
    return codes, "\n".join(f"{name}: {side.out}{side.err}" for name, side in sides.items())


def _strike(world: World, case: Case, sides: dict[str, Process]) -> None:
    if case.victim == "program":
        os.kill(int((world.pod.home / "pid").read_text()), case.signal)
    elif case.victim == "mount":
        _strike_mount(world, case)
    elif case.signal == KILL and case.victim == "sidecar":
        os.kill(sides["sidecar"].popen.pid, KILL)  # it alone: the kernel has to end its children
    else:
        sides[case.victim].signal(case.signal)


def _strike_mount(world: World, case: Case) -> None:
    """A mount that was up is there again before the program ends, and has the same files."""
    (victim,) = _mount_processes("sh")
    if case.step == "running":
        (victim,) = _mount_processes("-P")
    os.kill(victim, case.signal)
    if case.step == "running":
        wait_for(lambda: _mount_processes("-P") not in ([], [victim]), "the mount again")
        wait_for(lambda: _reads(world.pod.home / "in/name"), "its files")
        (world.pod.home / "go").touch()


def _mount_processes(word: str) -> list[int]:
    """Processes of the first mount whose second word this is: its gate, or what serves it."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (place / "cmdline").read_bytes().split(b"\0")
            if {b"mount", b"in"} <= set(words) and word.encode() in words[:2]:
                found.append(int(place.name))
    return found


def _reads(path: Path) -> bool:
    try:
        return path.read_text() == "x"
    except OSError:
        return False


def _check(world: World, codes: dict[str, int]) -> None:
    """What holds after each run, whatever has happened."""
    if codes["application"] == 0:
        assert world.labelled() == WHOLE
    if (world.pod.coord / "uploaddone").exists():
        assert world.labelled() == WHOLE
        assert (world.pod.home / "id").read_text().strip() == world.store.repo("results").bundle("label:done").id
    else:
        assert not (world.pod.home / "id").exists()
    assert world.store.check().ok


def test_all_goes_well(world: World) -> None:
    (world.pod.home / "go").touch()
    application, sidecar = world.application(), world.sidecar()
    assert (application.end(), sidecar.end()) == (0, 0), sidecar.err
    _check(world, {"application": 0})
    again = world.sidecar()
    assert again.end() == 2  # the file of the id is there
    (world.pod.home / "id").unlink()
    again = world.sidecar()
    assert again.end() == 5
    assert f"coordination folder {world.pod.coord}: it contains 'mountdone' from an earlier run" in again.err


@pytest.mark.parts
@pytest.mark.parametrize("what", ["signal", "failure", "silence"])
def test_unfinished_data_is_saved_without_the_label_if_asked_to(world: World, what: str) -> None:
    application, sidecar = world.application(), world.sidecar("--save-unfinished")
    wait_for((world.pod.home / "running").exists, "running")
    if what == "signal":
        sidecar.signal(TERM)
    else:
        application.signal(TERM if what == "failure" else KILL)
    codes = {"application": application.end(), "sidecar": sidecar.end()}
    expected = {"signal": (125, 143), "failure": (143, 5), "silence": (137, 5)}
    assert (codes["application"], codes["sidecar"]) == expected[what]
    assert world.labelled() is None
    saved = world.store.repo("results").bundle("branch:unfinished")
    assert files(saved) == {"a": WHOLE["a"]}
    assert saved.message.startswith("result (unfinished")
    assert saved.id in (world.pod.coord / "fuse-failed").read_text()
    _check(world, codes)


@pytest.mark.parts
def test_a_second_signal_ends_the_saving(world: World) -> None:
    (world.pod.home / "go").touch()
    world.close("before-bundle-upload")
    application, sidecar = world.application(), world.sidecar()
    wait_for((world.pod.home / "gates/before-bundle-upload.reached").exists, "saving")

    def ends() -> bool:
        sidecar.signal(TERM)  # again and again: two signals of one kind that wait are one
        return sidecar.popen.poll() is not None

    wait_for(ends, "the end")
    assert sidecar.end() == 143
    assert application.end() == 125
    assert "terminated before the data was saved" in application.err
    assert world.labelled() is None


def test_an_upload_that_fails_is_said_to_the_application_whose_program_had_ended_well(world: World) -> None:
    (world.pod.home / "go").touch()
    world.close("before-bundle-upload")
    application, sidecar = world.application(), world.sidecar()
    wait_for((world.pod.home / "gates/before-bundle-upload.reached").exists, "saving")
    for name in WHOLE:
        (world.pod.home / "out" / name).unlink()
    (world.pod.home / "out").rmdir()
    world.open("before-bundle-upload")
    assert sidecar.end() == 8
    assert application.end() == 125
    assert "the fuse sidecar has failed: upload out: " in application.err
    assert world.labelled() is None


def test_what_can_not_be_uploaded_in_the_end_is_said_before_the_program_starts(world: World) -> None:
    application = world.application()
    sidecar = world.sidecar("-d", "bundle mount --repo r --mount m")  # keeps -i right: one upload
    assert sidecar.end() == 8
    assert application.end() == 125
    assert not (world.pod.home / "running").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("bundle upload --repo nowhere --path out --message m", "repo nowhere: didn't find repo"),
        ("bundle upload --repo results --path out --message m --lable x", "No such option"),
    ],
)
def test_a_wrong_upload_is_refused_before_the_program_starts(world: World, command: str, message: str) -> None:
    application = world.application()
    quick = ["--poll-interval", "0.05", "-c", world.pod.coord]
    sidecar = world.pod.start("sheaf", "sidecar", "fuse", *quick, "-d", command)
    assert sidecar.end() == 8
    assert application.end() == 125
    assert message in sidecar.err
    assert message in application.err
    assert not (world.pod.home / "running").exists()


@pytest.mark.parametrize(
    ("options", "variables", "message"),
    [
        (["-c", "coord", "-d", "repo create"], {}, "only bundle and config commands supported."),
        (["-c", "coord", "--save-timeout", "soon", "-d", UPLOAD], {}, "saveTimeout: 'soon' is not a duration"),
        ([], {"dm_fuse_params": "globalOpts: {coordPoint: coord}\nbundles: [{nam: x}]"}, "unknown key 'nam'"),
        ([], {"SIDECAR_GLOBALOPTS_COORDPOINT": "coord"}, "sidecar: no parameters"),
        (["-c", "coord", "--params", "/nowhere/x.yaml"], {}, "file /nowhere/x.yaml does not exist"),
    ],
    ids=["command", "option", "yaml", "none", "file"],
)
def test_wrong_parameters_are_told_to_the_application(
    world: World, options: list[str], variables: dict[str, str], message: str
) -> None:
    application = world.application()
    wait_for((world.pod.coord / "application-running").exists, "the application")
    world.pod.variables |= variables
    sidecar = world.pod.start("sheaf", "sidecar", "fuse", *options)
    assert sidecar.end() in (2, 3)
    assert application.end() == 125
    assert message in sidecar.err
    assert message in application.err


def test_a_sidecar_that_is_started_again_leaves_the_reason_of_the_first(world: World) -> None:
    world.pod.coord.mkdir()
    for _ in range(2):
        assert world.sidecar("-d", "bundle upload --repo nowhere --path out --message m").end() == 2
    assert "there are 2 uploads" in (world.pod.coord / "fuse-failed").read_text()
    (world.pod.coord / "fuse-failed").unlink()
    (world.pod.coord / "mountdone").touch()
    for _ in range(2):
        again = world.pod.start("sheaf", "sidecar", "fuse", "-c", world.pod.coord, "-d", UPLOAD)
        assert again.end() == 5
        assert "it contains 'mountdone' from an earlier run" in again.err
    assert "'mountdone' from an earlier run" in (world.pod.coord / "fuse-failed").read_text()


@pytest.mark.parts
def test_a_program_that_is_killed_keeps_its_code(world: World) -> None:
    sidecar = world.sidecar()
    killed = "echo $$ >pid; touch running; while :; do sleep 0.02; done"
    application = world.pod.application("-b", "fuse", "--", "sh", "-c", killed)
    wait_for((world.pod.home / "running").exists, "running")
    os.kill(int((world.pod.home / "pid").read_text()), KILL)
    assert application.end() == 137
    assert sidecar.end() == 5
    assert "application: exited with code 137" in sidecar.err
