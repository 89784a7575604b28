"""``wrap_application.sh`` under every shell that it may meet; the test plays the sidecars."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from tests.sidecar.conftest import SCRIPTS, PlayedSidecar, Pod, wait_for


def _finish(sidecar: PlayedSidecar) -> None:
    sidecar.await_("initupload")
    sidecar.emit("uploaddone")


def test_the_scripts_pass_shellcheck() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", *SCRIPTS.glob("*.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_program_gets_its_arguments_untouched_once_the_data_is_ready(pod: Pod, shell: str) -> None:
    program = ["sh", "-c", 'printf "<%s>" "$@"', "-", "two words", "", "*", "-c", "$HOME", "a'b"]
    with PlayedSidecar(pod.coord) as sidecar:
        app = pod.application("-b", "fuse", "--", *program, shell=shell)
        sidecar.await_("application-running")
        assert app.log.with_suffix(".out").stat().st_size == 0
        sidecar.emit("mountdone")
        _finish(sidecar)
        assert app.end() == 0, app.err
    assert app.out == "<two words><><*><-c><$HOME><a'b>received upload done event, exiting\n"
    assert (pod.coord / "initupload").read_bytes() == b""
    assert not (pod.coord / "application-failed").exists()


def test_an_old_sidecar_without_signs_of_life_is_served(pod: Pod, shell: str) -> None:
    pod.coord.mkdir()
    app = pod.application("-b", "fuse", "--", "true", shell=shell)
    (pod.coord / "mountdone").touch()
    wait_for((pod.coord / "initupload").exists, "initupload")
    (pod.coord / "uploaddone").touch()
    assert app.end() == 0, app.err


@pytest.mark.parametrize(
    ("program", "code"),
    [(["sh", "-c", "exit 3"], 3), (["/nowhere/program"], 127), (["/"], 126), (["sh", "-c", "kill -KILL $$"], 137)],
    ids=["3", "not found", "not executable", "killed"],
)
def test_a_program_that_fails_keeps_its_code_and_the_sidecar_is_told(
    pod: Pod, shell: str, program: list[str], code: int
) -> None:
    with PlayedSidecar(pod.coord) as sidecar:
        sidecar.emit("mountdone")
        app = pod.application("-b", "fuse", "--", *program, shell=shell)
        assert app.end() == code
    assert app.out == "application exited with non-zero-status\n"
    assert (pod.coord / "application-failed").read_text() == f"exited with code {code}\n"
    assert not (pod.coord / "initupload").exists()


def test_the_program_reads_the_standard_input(pod: Pod, shell: str) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a line\n")
    os.close(writer)
    with PlayedSidecar(pod.coord) as sidecar:
        sidecar.emit("mountdone")
        app = pod.application("-b", "fuse", "--", "cat", shell=shell, stdin=reader)
        os.close(reader)
        _finish(sidecar)
        assert app.end() == 0
    assert app.out.startswith("a line\n")


def test_a_sidecar_that_fails_before_keeps_the_program_from_starting(pod: Pod, shell: str) -> None:
    with PlayedSidecar(pod.coord) as sidecar:
        app = pod.application("-b", "fuse", "--", "touch", pod.home / "started", shell=shell)
        sidecar.await_("application-running")
        sidecar.fail("/tmp/in: can't mount: no label 'init'")
        assert app.end() == 125
    assert "the fuse sidecar has failed: /tmp/in: can't mount: no label 'init'" in app.err
    assert not (pod.home / "started").exists()


def test_a_sidecar_that_fails_ends_the_program(pod: Pod, shell: str) -> None:
    ended = pod.home / "ended"
    program = f"trap 'touch {ended}; exit 0' TERM; touch {pod.home}/started; while :; do sleep 0.05; done"
    with PlayedSidecar(pod.coord) as sidecar:
        sidecar.emit("mountdone")
        app = pod.application("-b", "fuse", "--", "sh", "-c", program, shell=shell)
        wait_for((pod.home / "started").exists, "the program")
        sidecar.fail("the mount ended 6 times")
        assert app.end() == 125
    assert ended.exists()
    assert "the fuse sidecar has failed: the mount ended 6 times" in app.err
    assert not (pod.coord / "initupload").exists()


def test_a_program_that_ignores_that_is_killed(pod: Pod, shell: str) -> None:
    program = f"trap '' TERM; touch {pod.home}/started; while :; do sleep 0.05; done"
    with PlayedSidecar(pod.coord) as sidecar:
        sidecar.emit("mountdone")
        app = pod.application("-b", "fuse", "-g", 1, "--", "sh", "-c", program, shell=shell)
        wait_for((pod.home / "started").exists, "the program")
        sidecar.fail("gone")
        assert app.end() == 125


@pytest.mark.parametrize("step", ["starting", "running", "saving"])
def test_a_sidecar_that_is_silent_is_lost(pod: Pod, shell: str, step: str) -> None:
    with PlayedSidecar(pod.coord) as sidecar:
        sidecar.await_life()
        if step != "starting":
            sidecar.emit("mountdone")
        program = ["true"] if step == "saving" else ["sh", "-c", f"touch {pod.home}/started; sleep 60"]
        app = pod.application("-b", "fuse", "-l", 1, "--", *program, shell=shell)
        reached = {"running": pod.home / "started", "saving": pod.coord / "initupload"}
        at = reached.get(step, pod.coord / "application-running")
        wait_for(at.exists, step)
        sidecar.die()
        assert app.end() == 125
    assert "no sign of life of the fuse sidecar for 1 s" in app.err


def test_a_sidecar_that_never_comes_is_not_waited_for(pod: Pod, shell: str) -> None:
    app = pod.application("-b", "fuse", "-w", 1, "--", "true", shell=shell)
    assert app.end() == 124
    assert "no fuse sidecar after 1 s" in app.err


@pytest.mark.parametrize("event", ["mountdone", "uploaddone"])
def test_each_wait_has_its_time_out(pod: Pod, shell: str, event: str) -> None:
    with PlayedSidecar(pod.coord) as sidecar:
        if event == "uploaddone":
            sidecar.emit("mountdone")
        app = pod.application("-b", "fuse", "-t", 1, "--", "true", shell=shell)
        assert app.end() == 124
    assert ("the data is not saved" if event == "uploaddone" else "the data is not ready") in app.err


@pytest.mark.parametrize("event", ["initupload", "uploaddone", "application-running", "application-failed"])
def test_a_used_folder_is_refused_by_name(pod: Pod, shell: str, event: str) -> None:
    pod.coord.mkdir()
    (pod.coord / event).touch()
    app = pod.application("-b", "fuse", "--", "touch", pod.home / "started", shell=shell)
    assert app.end() == 125
    assert f"coordination folder {pod.coord}: it contains '{event}' from an earlier run" in app.err
    assert not (pod.home / "started").exists()


def test_an_event_of_a_dead_sidecar_does_not_start_the_program(pod: Pod, shell: str) -> None:
    pod.coord.mkdir()
    (pod.coord / "mountdone").touch()
    (pod.coord / "fuse-running").write_text("17\n")
    app = pod.application("-b", "fuse", "-l", 1, "--", "touch", pod.home / "started", shell=shell)
    assert app.end() == 125
    assert not (pod.home / "started").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_goes_on_to_the_program_and_its_code_is_kept(pod: Pod, shell: str, number: signal.Signals) -> None:
    program = f"trap 'exit 7' TERM; touch {pod.home}/started; while :; do sleep 0.05; done"
    with PlayedSidecar(pod.coord) as sidecar:
        sidecar.emit("mountdone")
        app = pod.application("-b", "fuse", "--", "sh", "-c", program, shell=shell)
        wait_for((pod.home / "started").exists, "the program")
        app.signal(number)
        assert app.end() == 7
    assert (pod.coord / "application-failed").read_text() == "exited with code 7\n"


def test_a_program_that_ends_well_on_a_signal_has_its_data_saved(pod: Pod, shell: str) -> None:
    program = f"trap 'exit 0' TERM; touch {pod.home}/started; while :; do sleep 0.05; done"
    with PlayedSidecar(pod.coord) as sidecar:
        sidecar.emit("mountdone")
        app = pod.application("-b", "fuse", "--", "sh", "-c", program, shell=shell)
        wait_for((pod.home / "started").exists, "the program")
        app.signal(signal.SIGTERM)
        _finish(sidecar)
        assert app.end() == 0


@pytest.mark.parametrize("step", ["starting", "saving"])
def test_a_signal_ends_each_wait(pod: Pod, shell: str, step: str) -> None:
    with PlayedSidecar(pod.coord) as sidecar:
        if step == "saving":
            sidecar.emit("mountdone")
        app = pod.application("-b", "fuse", "--", "true", shell=shell)
        sidecar.await_("initupload" if step == "saving" else "application-running")
        app.signal(signal.SIGTERM)
        assert app.end() == 143
    assert (pod.coord / "application-failed").exists() == (step == "starting")


def test_several_databases_and_kinds_are_waited_for(pod: Pod, shell: str) -> None:
    pod.coord.mkdir()
    folders = [pod.coord / "db1", pod.coord / "db2"]
    sidecars = [PlayedSidecar(pod.coord), *(PlayedSidecar(folder, "postgres") for folder in folders)]
    app = pod.application("-b", "fuse", "-b", "postgres", "-d", "db1 db2", "--", "touch", pod.home / "ran", shell=shell)
    fuse, first, second = sidecars
    with fuse, first, second:
        fuse.emit("mountdone")
        first.emit("dbstarted")
        second.await_("application-running")
        assert not (pod.home / "ran").exists()
        second.emit("dbstarted")
        for sidecar, event in ((fuse, "initupload"), (first, "initdbupload"), (second, "initdbupload")):
            sidecar.await_(event)
        assert (pod.home / "ran").exists()
        fuse.emit("uploaddone")
        first.emit("dbuploaddone")
        second.emit("dbuploaddone")
        assert app.end() == 0, app.err


def test_events_of_the_first_generation_of_databases_are_not_in_a_folder(pod: Pod, shell: str) -> None:
    with PlayedSidecar(pod.coord, "postgres") as sidecar:
        app = pod.application("-b", "postgres", "--", "true", shell=shell)
        sidecar.emit("dbstarted")
        sidecar.await_("initdbupload")
        sidecar.emit("dbuploaddone")
        assert app.end() == 0, app.err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-b", "fuse", "--", "true"], "coordination point not set"),
        (["-c", "c", "-b", "car", "--", "true"], "unkown battery type car"),
        (["-c", "c", "--", "true"], "battery type not set"),
        (["-c", "c", "-b", "fuse", "--"], "no program"),
        (["-c", "c", "-b", "fuse", "-t", "1x", "--", "true"], "-t: '1x' is not a whole number"),
        (["-c", "c", "-b", "fuse", "-p", ".", "--", "true"], "-p: '.' is not a number"),
        (["-x"], ""),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_wrong_arguments_exit_with_1(pod: Pod, shell: str, args: list[str], message: str) -> None:
    from tests.sidecar.conftest import SHELLS

    app = pod.start(*SHELLS[shell], SCRIPTS / "wrap_application.sh", *args)
    assert app.end() == 1
    assert message in app.err


def test_wrong_arguments_are_reported_to_the_sidecar(pod: Pod, shell: str) -> None:
    pod.coord.mkdir()
    assert pod.application("-b", "car", "--", "true", shell=shell).end() == 1
    assert (pod.coord / "application-failed").read_text() == "unkown battery type car\n"


def test_a_folder_that_can_not_be_written_to_is_said(pod: Pod, shell: str) -> None:
    place = Path("/proc/self/nowhere")
    from tests.sidecar.conftest import SHELLS

    app = pod.start(*SHELLS[shell], SCRIPTS / "wrap_application.sh", "-c", place, "-b", "fuse", "--", "true")
    assert app.end() == 125
    assert app.err


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (["-b", "car"], [], "unkown battery type car"),
        (["-t", "1x"], ["-b", "fuse"], "-t: '1x' is not a whole number of seconds"),
        (["-x"], ["-b", "fuse"], "wrong arguments: an option is unknown or has no value"),
        ([], ["-b", "fuse", "-x"], "wrong arguments: an option is unknown or has no value"),
    ],
    ids=["kind", "number", "unknown before", "unknown after"],
)
def test_wrong_arguments_are_reported_wherever_the_folder_is_named(
    pod: Pod, shell: str, before: list[str], after: list[str], reason: str
) -> None:
    from tests.sidecar.conftest import SHELLS

    script = SCRIPTS / "wrap_application.sh"
    app = pod.start(*SHELLS[shell], script, *before, "-c", pod.coord, "-d", "db", *after, "--", "true")
    assert app.end() == 1
    for folder in (pod.coord, pod.coord / "db"):
        assert (folder / "application-failed").read_text() == f"{reason}\n"


def test_it_sleeps_instead_of_exiting(pod: Pod, shell: str) -> None:
    with PlayedSidecar(pod.coord) as sidecar:
        app = pod.application("-s", "-b", "fuse", "--", "sh", "-c", "exit 3", shell=shell)
        sidecar.emit("mountdone")
        wait_for(lambda: "sleeping instead of exiting with 3" in app.err, "the sleep")
        assert app.popen.poll() is None
        app.signal(signal.SIGTERM)
        assert app.end() == 3


def test_two_kinds_share_a_folder(pod: Pod, shell: str) -> None:
    with PlayedSidecar(pod.coord) as sidecar:
        sidecar.emit("mountdone")
        sidecar.emit("dbstarted")
        app = pod.application("-b", "fuse", "-b", "postgres", "--", "true", shell=shell)
        wait_for(lambda: (pod.coord / "initdbupload").exists() or app.popen.poll() is not None, "initdbupload")
        sidecar.emit("uploaddone")
        sidecar.emit("dbuploaddone")
        assert app.end() == 0, app.err


def test_a_sidecar_that_has_saved_may_be_silent_while_another_one_saves(pod: Pod, shell: str) -> None:
    pod.coord.mkdir()
    app = pod.application("-b", "fuse", "-b", "postgres", "-d", "db", "-l", 1, "--", "true", shell=shell)
    with PlayedSidecar(pod.coord / "db", "postgres") as database:
        database.emit("dbstarted")
        with PlayedSidecar(pod.coord) as fuse:
            fuse.await_life()
            fuse.emit("mountdone")
            _finish(fuse)
        with pytest.raises(subprocess.TimeoutExpired):  # longer than a sidecar may be silent
            app.popen.wait(3)
        database.emit("dbuploaddone")
        assert app.end() == 0, app.err


def test_a_folder_that_is_not_writable_ends_it_at_once(pod: Pod, shell: str) -> None:
    (pod.coord / "application-running.new").mkdir(parents=True)
    app = pod.application("-b", "fuse", "-w", 1, "--", "true", shell=shell)
    assert app.end() == 125
    assert app.err == f"wrap_application: coordination folder {pod.coord}: it can't be written to\n"
    assert (pod.coord / "application-failed").exists()


def test_the_failure_of_a_sidecar_is_reported_to_the_other_one(pod: Pod, shell: str) -> None:
    program = f"touch {pod.home}/started; while :; do sleep 0.05; done"
    pod.coord.mkdir()
    with PlayedSidecar(pod.coord) as fuse, PlayedSidecar(pod.coord / "db", "postgres") as database:
        fuse.emit("mountdone")
        database.emit("dbstarted")
        app = pod.application("-b", "fuse", "-b", "postgres", "-d", "db", "--", "sh", "-c", program, shell=shell)
        wait_for((pod.home / "started").exists, "the program")
        fuse.fail("gone")
        assert app.end() == 125
    assert (pod.coord / "db" / "application-failed").read_text() == "was ended: a sidecar has failed\n"


def test_an_event_that_can_not_be_written_is_reported_to_every_sidecar(pod: Pod, shell: str) -> None:
    pod.coord.mkdir()
    with PlayedSidecar(pod.coord) as fuse, PlayedSidecar(pod.coord / "db", "postgres") as database:
        fuse.emit("mountdone")
        database.emit("dbstarted")
        program = ["rm", "-rf", pod.coord / "db"]
        database.die()
        app = pod.application("-b", "fuse", "-b", "postgres", "-d", "db", "--", *program, shell=shell)
        assert app.end() == 125
    assert f"coordination folder {pod.coord}/db: it can't be written to" in app.err
    assert "a coordination folder is not writable" in (pod.coord / "application-failed").read_text()


@pytest.mark.parametrize(("given", "used"), [("3600", "10"), (".05", ".05"), ("10.5", "10"), ("9", "9")])
def test_a_long_pause_does_not_make_the_program_look_lost(pod: Pod, given: str, used: str) -> None:
    sleep = pod.home / "bin" / "sleep"
    sleep.parent.mkdir()
    sleep.write_text(f'#!/bin/sh\necho "$1" >>{pod.home}/pauses\n')
    sleep.chmod(0o755)
    pod.variables["PATH"] = f"{sleep.parent}{os.pathsep}{os.environ['PATH']}"
    app = pod.application("-b", "fuse", "-p", given, "--", "true")
    wait_for((pod.home / "pauses").exists, "a pause")
    app.signal(signal.SIGTERM)
    assert app.end() == 143
    assert set((pod.home / "pauses").read_text().split()) == {used}
