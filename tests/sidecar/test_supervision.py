"""The loop of a sidecar, and the uploads of the kind ``fuse``, with programs that the test writes."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sheaf.errors import SheafError, Unavailable
from sheaf.sidecar.children import Children, Signals
from sheaf.sidecar.command_lines import FuseCommands, UploadCommand
from sheaf.sidecar.coordination import FUSE, CoordinationFolder
from sheaf.sidecar.fuse_sidecar import FuseSidecar
from sheaf.sidecar.protocol import Terminated
from sheaf.sidecar.supervision import Behaviour, Supervision

#: An upload of the folder "bad" fails; options are checked as the real program checks them: a value may be forgotten.
PROGRAM = """
printf '%s\\n' "$*" >>"$0.log"
case "$*" in
    *"--path bad"*) echo "error: no folder" >&2; exit 3 ;;
esac
echo "Uploaded bundle id:$4"
"""


class _NothingToDo:
    """A sidecar that is ready and has saved at once."""

    waits_for = ""
    bundles: tuple[str, ...] = ()

    def is_ready(self) -> bool:
        return False

    def watch(self) -> None:
        """Nothing to keep."""

    def save(self, *, is_unfinished: bool) -> None:
        """Nothing to save."""

    def is_saved(self) -> bool:
        return True

    def stop(self) -> None:
        """Nothing to end."""


class _Waits(Children):
    """Children that note how long is waited. After the first wait a signal comes."""

    def __init__(self, signals: Signals) -> None:
        super().__init__({}, print)
        self.seconds: list[float] = []
        self._signals = signals

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._signals.count += 1
        assert len(self.seconds) < 3, "it does not end"


@pytest.mark.parametrize(("poll_s", "waited"), [(1.0, 1.0), (3600.0, 10.0)])
def test_a_sidecar_is_never_silent_for_long(tmp_path: Path, poll_s: float, waited: float) -> None:
    signals = Signals()
    children = _Waits(signals)
    folder = CoordinationFolder(tmp_path, FUSE)
    with pytest.raises(Terminated):
        Supervision(_NothingToDo(), folder, Behaviour(poll_s=poll_s), children, signals, print).run()  # type: ignore[arg-type]
    assert children.seconds == [waited]


def test_a_sidecar_that_was_terminated_before_does_not_stay(tmp_path: Path) -> None:
    signals = Signals()
    children = _Waits(signals)
    folder = CoordinationFolder(tmp_path, FUSE)
    with pytest.raises(Terminated):
        Supervision(_NothingToDo(), folder, Behaviour(stays=True), children, signals, print).run()  # type: ignore[arg-type]
    assert children.seconds == [1.0], "it waits for another signal"


@pytest.fixture
def children() -> Iterator[Children]:
    made = Children({"PATH": "/usr/bin:/bin"}, print)
    yield made
    made.stop(10)


def _upload(path: str, *more: str) -> UploadCommand:
    return UploadCommand(("bundle", "upload", "--path", path, *more), "results")


def _sidecar(tmp_path: Path, children: Children, *uploads: UploadCommand) -> FuseSidecar:
    (tmp_path / "program").write_text(PROGRAM)
    return FuseSidecar(FuseCommands(uploads=uploads), ["sh", str(tmp_path / "program")], children, 1 << 20, print)


def test_an_upload_that_fails_does_not_keep_others_from_running(tmp_path: Path, children: Children) -> None:
    uploads = [
        _upload("one"),
        _upload("bad"),
        UploadCommand(("bundle", "upload", "--path", "two"), "r", tmp_path / "n/id"),
    ]
    sidecar = _sidecar(tmp_path, children, *uploads, _upload("three"))
    sidecar.save(is_unfinished=False)
    with pytest.raises(Unavailable, match=r"upload bad: no folder \(exit code 3\)"):
        while not sidecar.is_saved():
            children.wait(10)
    assert sidecar.bundles == ["one", "two", "three"]
    with pytest.raises(Unavailable, match="upload bad"):
        sidecar.is_saved()


def test_a_check_of_the_options_fails_at_the_first_one(tmp_path: Path, children: Children) -> None:
    sidecar = _sidecar(tmp_path, children, _upload("bad", "--label"), _upload("one"))
    with pytest.raises(SheafError, match="upload bad"):
        while not sidecar.is_ready():
            children.wait(10)
    said = (tmp_path / "program.log").read_text()
    assert said == "bundle upload --help --path bad --label\n", "a forgotten value would be --help"


def test_what_an_upload_skips_is_said_and_the_rest_is_saved(tmp_path: Path, children: Children) -> None:
    said: list[str] = []
    program = "echo 'skipped a: b: no access' >&2\necho 'skipped c: gone' >&2\necho 'Uploaded bundle id:one'\n"
    (tmp_path / "program").write_text(program)
    commands = FuseCommands(uploads=(_upload("out", "--skip-on-error"),))
    sidecar = FuseSidecar(commands, ["sh", str(tmp_path / "program")], children, 1 << 20, said.append)
    sidecar.save(is_unfinished=False)
    while not sidecar.is_saved():
        children.wait(10)
    assert sidecar.bundles == ["one"]
    assert said == ["sidecar: upload out: bundle one lacks what was skipped: a: b, c"]


def test_children_that_do_not_end_share_one_deadline() -> None:
    children = Children({"PATH": "/usr/bin:/bin"}, print)
    stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    all_ = [children.start(f"child {at}", ["sh", "-c", stubborn]) for at in range(4)]
    while not all(child.lines for child in all_):
        children.wait(1)
    begun = time.monotonic()
    children.stop(0.5)
    assert [child.code for child in all_] == [-signal.SIGKILL] * 4
    assert time.monotonic() - begun < 4 * 0.5, "each had the time for itself"


def test_a_child_that_prints_much_when_it_is_asked_to_end_can_end() -> None:
    children = Children({"PATH": "/usr/bin:/bin"}, lambda _: None)
    talks = "trap 'head -c 1000000 /dev/zero | tr \"\\\\0\" x; exit 7' TERM; echo ready; while :; do sleep 0.02; done"
    child = children.start("child", ["sh", "-c", talks])
    while not child.lines:
        children.wait(1)
    children.stop(30)
    assert child.code == 7
