"""The programs as processes: what start-up loads, pipes, signals."""

from __future__ import annotations

import ast
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.data import make_folder

HEAVY = ("pyarrow", "rich", "numpy", "obstore", "yaml")


def _environment(home: Path) -> dict[str, str]:
    path = os.environ.get("PYTHONPATH", "")
    return {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": path, "LC_ALL": "C"}


def _command(*args: object, program: str = "main") -> list[str]:
    return [sys.executable, "-c", f"from sheaf.cli.{program} import main; main()", *map(str, args)]


def _loaded_by(home: Path, *args: object) -> set[str]:
    """The packages and modules of one level that a command imports."""
    return {name.split(".")[0] for name in _modules_of(home, *args)}


def _modules_of(home: Path, *args: object) -> set[str]:
    command = [sys.executable, "-X", "importtime", *_command(*args)[1:]]
    done = subprocess.run(command, env=_environment(home), capture_output=True, text=True, check=True)
    return _modules_in(done.stderr)


def _imported(log: str) -> set[str]:
    return {name.split(".")[0] for name in _modules_in(log)}


def _modules_in(log: str) -> set[str]:
    lines = [line for line in log.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip() for line in lines}


def _sheaf(home: Path, *args: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(_command(*args), env=_environment(home), capture_output=True, check=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_the_version_loads_next_to_nothing(home: Path) -> None:
    assert _loaded_by(home, "version").isdisjoint({*HEAVY, "click", "msgspec", "asyncio"})


@pytest.mark.parametrize("args", [("--help",), ("config", "get"), ("bundle", "upload", "--help")])
def test_verbs_without_a_store_load_no_heavy_library(home: Path, args: tuple[str, ...]) -> None:
    assert _loaded_by(home, *args).isdisjoint(HEAVY)


def test_listing_labels_loads_no_heavy_library(home: Path) -> None:
    assert _sheaf(home, "repo", "create", "--repo", "r").returncode == 0
    assert _loaded_by(home, "label", "list", "--repo", "r").isdisjoint(HEAVY)


def test_a_wait_that_may_last_for_days_loads_no_heavy_library(home: Path) -> None:
    assert _sheaf(home, "repo", "create", "--repo", "r").returncode == 0
    command = [
        sys.executable,
        "-X",
        "importtime",
        *_command("wait", "--repo", "r", "--label", "v1", "--timeout", "0")[1:],
    ]
    done = subprocess.run(command, env=_environment(home), capture_output=True, text=True, check=False)
    assert done.returncode == 8
    assert _imported(done.stderr).isdisjoint(HEAVY)


def test_a_look_into_a_bundle_loads_no_heavy_library(home: Path, tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data")
    _sheaf(home, "repo", "create", "--repo", "r")
    for label in ("one", "two"):
        upload = ("bundle", "upload", "--path", data, "--repo", "r", "--message", "m", "--label", label)
        assert _sheaf(home, *upload).returncode == 0
        (data / "labels.csv").write_text("name,label\n")
    looks = (("ls", "r@one"), ("ls", "r@one:train"), ("log", "r"), ("diff", "r@one", "r@two"))
    for args in (*looks, ("cat", "r@one:labels.csv")):
        assert _loaded_by(home, *args).isdisjoint(HEAVY), args


#: The most modules of Sheaf that a command may import: lower these when one is saved, and load late what few calls need.
MOST_MODULES = {"label": 93, "cat": 112, "bundle": 159}
#: What these commands do not need: archives, network, random numbers, deletion, promotion of replicas.
RARE = ("tempfile", "shutil", "secrets", "difflib", "socket", "subprocess")
RARE_OF_SHEAF = ("sheaf.engine.log.delete_bundles", "sheaf.engine.replicas.promotion", "sheaf.engine.replicas.catchup")


def test_frequent_commands_import_few_modules(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("a")
    _sheaf(home, "repo", "create", "--repo", "r")
    upload = ("bundle", "upload", "--repo", "r", "--path", data, "--message", "m")
    assert _sheaf(home, *upload).returncode == 0
    commands = [("label", "list", "--repo", "r"), ("cat", "r@main:a.txt"), upload]
    loaded = {args[0]: _modules_of(home, *args) for args in commands}
    counts = {verb: sum(name.split(".")[0] == "sheaf" for name in names) for verb, names in loaded.items()}
    assert all(counts[verb] <= most for verb, most in MOST_MODULES.items()), counts
    for verb in ("label", "cat"):
        assert loaded[verb].isdisjoint((*RARE, *RARE_OF_SHEAF)), verb
    assert loaded["bundle"].isdisjoint(RARE_OF_SHEAF)


def test_names_come_out_as_utf8_whatever_the_locale(home: Path, tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data")
    _sheaf(home, "repo", "create", "--repo", "r")
    assert _sheaf(home, "bundle", "upload", "--repo", "r", "--path", data, "--message", "é").returncode == 0
    assert "train/deep/ünï.txt\n".encode() in _sheaf(home, "ls", "-R", "r").stdout


def test_a_reader_that_goes_away_is_no_error(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(3000):
        (data / f"a-rather-long-name-that-fills-the-pipe-{number:05}").touch()
    _sheaf(home, "repo", "create", "--repo", "r")
    _sheaf(home, "bundle", "upload", "--repo", "r", "--path", data, "--message", "m")
    process = subprocess.Popen(
        _command("ls", "r"), env=_environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"a-rather-long-name-that-fills-the-pipe-00000\n"
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_with_the_shells_code(home: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    command = _command("repo", "delete", "--repo", "r")  # which waits for an answer
    _sheaf(home, "repo", "create", "--repo", "r")
    terminal, theirs = pty.openpty()
    pipes = {"stdin": theirs, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, env=_environment(home), **pipes)  # type: ignore[call-overload]
    os.close(theirs)
    while b"[y/N]" not in (seen := os.read(process.stderr.fileno(), 1 << 16)):
        assert seen, "it ended before it asked"
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == code
    assert b"Traceback" not in err and b"resume" not in err


_RESUME = b"interrupted\nhint: run the same command again to resume\n"


def _interrupted(home: Path, is_at_work: Callable[[], bool], *args: object) -> tuple[int, bytes]:
    """Exit code and stderr of a command that would run for minutes, after Ctrl-C once it is at work."""
    process = subprocess.Popen(
        _command("--limit-rate", "100k", *args),
        env=_environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while not is_at_work():
        assert process.poll() is None, "it ended before it was interrupted"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_an_interrupted_transfer_ends_without_being_finished_first(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "big").write_bytes(os.urandom(110_000_000))
    _sheaf(home, "repo", "create", "--repo", "r")

    def has_pack() -> bool:
        return any(path.is_file() for path in (home / ".local/share/sheaf").rglob("packs/*/*"))

    upload = ("bundle", "upload", "--repo", "r", "--path", data, "--message", "m")
    assert _interrupted(home, has_pack, *upload) == (130, _RESUME)
    assert _sheaf(home, *upload).returncode == 0

    def has_begun() -> bool:
        return any(path.is_file() for path in tmp_path.glob(".copy*/**/big"))

    download = ("bundle", "download", "--repo", "r", "--destination", tmp_path / "copy")
    code, err = _interrupted(home, has_begun, *download)
    assert code == 130 and err.endswith(_RESUME)
    assert not list((tmp_path / "copy").glob("*"))

    def has_pushed() -> bool:
        return any(path.is_file() for path in (tmp_path / "other").rglob("sessions/*"))

    assert _sheaf(home, "store", "init", tmp_path / "other").returncode == 0
    assert _interrupted(home, has_pushed, "repo", "push", "r", tmp_path / "other") == (130, _RESUME)


def test_both_entry_points_start(home: Path) -> None:
    for program, text in (("main", b"sheaf "), ("datamon", b"Version: ")):
        done = subprocess.run(
            _command("version", program=program), env=_environment(home), capture_output=True, check=True
        )
        assert done.stdout.startswith(text)


@pytest.mark.parametrize("program", ["main", "datamon"])
def test_both_programs_keep_their_memory_small(program: str) -> None:
    code = (
        "import gc, os, sheaf.cli.run as run\n"
        "run.start = lambda *_: print(os.environ['ARROW_DEFAULT_MEMORY_POOL'], gc.get_threshold()[0])\n"
        f"from sheaf.cli.{program} import main\n"
        "main(['repo', 'list'])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "system 50000\n", done.stderr


#: The most dataclasses that a command may make: each takes a millisecond, and a `msgspec.Struct` a tenth of that.
MOST_DATACLASSES = {"label": 5, "cat": 5, "bundle": 15}
COUNT_DATACLASSES = """
import sys
from sheaf.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code
classes = {c for m in list(sys.modules.values()) if m.__name__.startswith("sheaf") for c in vars(m).values()
           if isinstance(c, type) and "__dataclass_fields__" in vars(c)}
print(sorted(c.__qualname__ for c in classes), file=sys.stderr)
"""


def test_frequent_commands_make_few_dataclasses(home: Path, tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data")
    _sheaf(home, "repo", "create", "--repo", "r")
    upload = ("bundle", "upload", "--repo", "r", "--path", data, "--message", "m")
    for args in (upload, ("label", "list", "--repo", "r"), ("cat", "r@main:labels.csv")):
        command = [sys.executable, "-c", COUNT_DATACLASSES, *map(str, args)]
        done = subprocess.run(command, env=_environment(home), capture_output=True, text=True, check=True)
        made = ast.literal_eval(done.stderr.splitlines()[-1])
        assert len(made) <= MOST_DATACLASSES[args[0]], made
