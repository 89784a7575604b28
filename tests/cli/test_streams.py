"""Standard streams that are closed, full or not read by anybody, and locales that aren't UTF-8: for every command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sheaf as sheaf_library
from sheaf.cli.datamon import VERBS as DATAMON_VERBS
from sheaf.cli.verbs import VERBS

# One process that loads the program once; each command runs in a fork of it, so that walking over all of them is cheap.
WALK = """
import json, os, sys
program, condition, commands = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
from importlib import import_module
main = import_module(f"sheaf.cli.{program}").main
import sheaf.cli.run, sheaf.cli.verbs
for words in commands:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        if condition != "no messages":
            os.dup2(writer, 2)
        os.close(writer)
        if condition == "full":
            os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
        elif condition == "unread":
            gone, pipe = os.pipe()
            os.dup2(pipe, 1); os.close(gone); os.close(pipe)
        elif condition == "no output":
            os.close(1); sys.stdout = None
        elif condition == "no input":
            os.close(0); sys.stdin = None
        elif condition == "no messages":
            os.close(2); sys.stderr = None
        elif condition == "full messages":
            os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
        main(words)
    os.close(writer)
    with os.fdopen(reader, errors="replace") as stream:
        said = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.write(3, (json.dumps([words, code, said]) + "\\n").encode())
"""
CONDITIONS = ["full", "unread", "no output", "no input", "no messages", "full messages"]


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(home), "LC_ALL": "C.UTF-8", **more}


def walk(home: Path, program: str, condition: str, commands: list[list[str]]) -> list[tuple[list[str], int, str]]:
    results = home / "results"
    python = [sys.executable, "-c", WALK, program, condition, json.dumps(commands)]
    with results.open("wb") as file:
        subprocess.run(
            ["/bin/sh", "-c", 'exec "$@" 3>&1 >/dev/null </dev/null', "sh", *python],
            env=environment(home), stdout=file, stderr=subprocess.DEVNULL, check=True, cwd=home,
        )  # fmt: skip
    return [tuple(json.loads(line)) for line in results.read_text().splitlines()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a user who has a store with a bundle of ``r`` that is labelled ``l``."""
    home = tmp_path_factory.mktemp("made")
    (home / "d").mkdir()
    (home / "d" / "f").write_text("content\n")
    for words in (
        ["repo", "create", "--repo", "r"],
        ["bundle", "upload", "--repo", "r", "--path", "d", "--message", "m", "--label", "l"],
    ):
        sheaf(home, *words, check=True)
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A copy of that home."""
    shutil.copytree(made, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path


def sheaf(home: Path, *words: str, check: bool = False, **more: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from sheaf.cli.main import main; main()", *words]
    return subprocess.run(command, env=environment(home, **more), capture_output=True, check=check, cwd=home)


@pytest.mark.parametrize(
    ("program", "condition"),
    [
        ("main", "full"),
        pytest.param("main", "no output", marks=pytest.mark.slow),
        pytest.param("main", "full messages", marks=pytest.mark.slow),
        ("datamon", "unread"),
        ("datamon", "no input"),
    ],
)
def test_help_of_every_command_ends_with_a_right_code_and_no_traceback(
    home: Path, program: str, condition: str
) -> None:
    verbs = VERBS if program == "main" else DATAMON_VERBS
    commands = [[], ["--help"], ["nonsense"], *([*verb.split(), "--help"] for verb in verbs)]
    found = walk(home, program, condition, commands)
    assert len(found) == len(commands)
    for words, code, said in found:
        right = {"full": 10, "unread": 141}.get(condition, 0)
        if words == ["nonsense"]:
            right = 2
        if program == "datamon":
            right = {2: 1, 10: 1}.get(right, right)
        assert (words, code) == (words, right), said
        assert "Traceback" not in said
        assert "unexpected" not in said


READS = [
    ["version"], ["--version"], ["version", "--json"], ["repo", "list"], ["ls", "r"], ["ls", "-R", "r", "--json"],
    ["cat", "r:f"], ["log", "r"], ["label", "list", "--repo", "r"], ["bundle", "list", "--repo", "r"],
    ["bundle", "get", "--repo", "r"], ["bundle", "verify", "--repo", "r"], ["diff", "r@l", "./d"], ["config", "get"],
    ["store", "info"], ["store", "check"], ["completion", "bash"], ["cache", "info"],
]  # fmt: skip


@pytest.mark.parametrize("condition", CONDITIONS)
def test_commands_that_read_end_with_a_right_code_and_no_traceback(home: Path, condition: str) -> None:
    for words, code, said in walk(home, "main", condition, READS):
        expected = {"full": {10}, "unread": {141}}.get(condition, {0})
        assert code in expected | ({0} if words[0] == "diff" else set()), (words, code, said)  # it has nothing to say
        assert "Traceback" not in said
        assert "unexpected" not in said
        if condition == "unread":
            assert not said, words


@pytest.mark.parametrize(("condition", "expected"), [("full", 10), ("unread", 141), ("no output", 0)])
def test_a_committed_upload_is_said_to_be_committed(home: Path, condition: str, expected: int) -> None:
    (home / "d" / "g").write_text("more")
    upload = ["bundle", "upload", "--repo", "r", "--path", "d", "--message", "m"]
    ((_, code, said),) = walk(home, "main", condition, [upload])
    head = sheaf(home, "branch", "get", "--repo", "r", "--branch", "main", "--json").stdout
    assert code == expected
    assert "Traceback" not in said
    if condition != "no output":
        assert f"bundle {json.loads(head)['bundle']} is committed" in said


def test_a_list_from_a_closed_input_is_refused(home: Path) -> None:
    upload = ["bundle", "upload", "--repo", "r", "--path", "d", "--message", "m", "--files", "-"]
    ((_, code, said),) = walk(home, "main", "no input", [upload])
    assert (code, "standard input is closed" in said) == (2, True)


def test_only_newlines_end_the_lines_of_a_list(home: Path) -> None:
    names = ["c\fd", "Icon\r", "e\u2028f", "g\x85h", "i\x0bj"]
    for name in (*names, "c", "d", "Icon", "e", "f", "g", "h", "i", "j"):
        (home / "d" / name).write_text("x")
    (home / "list").write_bytes("\n".join(names).encode() + b"\n")
    sheaf(home, "bundle", "upload", "--repo", "r", "--path", "d", "--message", "m", "--files", "list", check=True)
    listed = sheaf(home, "ls", "r", "-z").stdout.decode().split("\0")
    assert sorted(listed) == sorted(["", *names])


@pytest.mark.parametrize("option", ["--message", "--meta", "--label", "--branch"])
def test_arguments_that_are_no_text_are_named(home: Path, option: str) -> None:
    words = ["bundle", "upload", "--repo", "r", "--path", "d", "--message", "m", option, os.fsdecode(b"k=b\xff")]
    done = sheaf(home, *words)
    assert (done.returncode, rb"'k=b\xff' is not UTF-8" in done.stderr) == (2, True)


@pytest.mark.parametrize("option", ["--store", "--context", "--key-file", "--endpoint"])
def test_global_options_that_are_no_text_are_named(home: Path, option: str) -> None:
    done = sheaf(home, "ls", "r", option, os.fsdecode(b"b\xff"))
    assert (done.returncode, rb"'b\xff' is not UTF-8" in done.stderr) == (2, True)


def test_a_folder_whose_name_is_no_text_can_be_uploaded(home: Path) -> None:
    os.rename(home / "d", os.fsencode(home) + b"/d\xff")
    words = ["bundle", "upload", "--repo", "r", "--path", os.fsdecode(b"d\xff"), "--message", "m"]
    assert sheaf(home, *words).returncode == 0


@pytest.fixture(scope="session")
def latin(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of locales with one whose encoding is Latin-1."""
    folder = tmp_path_factory.mktemp("locales")
    try:
        subprocess.run(
            ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(folder / "en_US.ISO-8859-1")],
            capture_output=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("localedef is missing")
    if not any(folder.iterdir()):
        pytest.skip("localedef has no definition of en_US in ISO-8859-1")
    return str(folder)


def test_names_are_the_same_in_every_locale(home: Path, latin: str) -> None:
    (home / "d" / "caf\u00e9").write_text("x")
    words = ["bundle", "upload", "--repo", "r", "--path", "d", "--message", "\u00e9t\u00e9", "--label", "latin"]
    done = sheaf(home, *words, LOCPATH=latin, LC_ALL="en_US.ISO-8859-1")
    assert done.returncode == 0, done.stderr
    assert sheaf(home, "ls", "r@latin").stdout.decode().splitlines() == ["caf\u00e9", "f"]
    assert "\u00e9t\u00e9" in sheaf(home, "log", "r").stdout.decode()


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_passphrase_is_a_line_without_its_end(home: Path, end: str) -> None:
    command = [sys.executable, "-c", "from sheaf.cli.main import main; main()", "--store", "enc"]
    done = subprocess.run(
        [*command, "store", "init", "--encrypt", "--passphrase"],
        env=environment(home), input=f"hunter2{end}".encode(), capture_output=True, cwd=home, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sheaf(home, "--store", "enc", "repo", "list", SHEAF_PASSPHRASE="hunter2").returncode == 0


ODD = b"x\xffy"  # no UTF-8


def _variable(name: str) -> Any:
    return {f"SHEAF_{name}": os.fsdecode(ODD)}


@pytest.mark.parametrize("name", ["NAME", "EMAIL", "CONTEXT", "ENDPOINT", "KEY", "PASSPHRASE", "RETRIES", "PROFILE"])
def test_variables_that_are_no_text_are_named(home: Path, name: str) -> None:
    done = sheaf(home, "store", "info", **_variable(name))
    wanted = name not in ("KEY", "PASSPHRASE")  # which only an encrypted store asks for
    assert (done.returncode == 2) == wanted
    assert (rb"SHEAF_%s: 'x\xffy' is not UTF-8 text" % name.encode() in done.stderr) == wanted


@pytest.mark.parametrize("name", ["KEY", "PASSPHRASE"])
def test_secrets_that_are_no_text_are_named_and_not_shown(home: Path, name: str) -> None:
    pytest.importorskip("cryptography")
    sheaf_library.init(str(home / "enc"), key=bytes(32)).close()
    done = sheaf(home, "--store", "enc", "repo", "list", **_variable(name))
    assert done.returncode == 2
    assert f"SHEAF_{name}".encode() in done.stderr and b"xff" not in done.stderr


def test_a_user_whose_name_is_no_text_can_work(home: Path) -> None:
    done = sheaf(home, "upload", "d", "r", "-m", "m", "--json", LOGNAME=os.fsdecode(ODD))
    assert json.loads(done.stdout)["author"]["name"] == "x\\xffy"


def test_places_may_be_any_bytes_at_every_door(home: Path) -> None:
    odd = os.fsdecode(ODD)
    shown = b"x\\\\xffy"  # in JSON
    for words in (
        ["download", "r", f"out{odd}", "--json"],
        ["bundle", "update", "--repo", "r", "--destination", f"up{odd}", "--json"],
        ["bundle", "download", "file", "--repo", "r", "--file", "f", "--destination", f"one{odd}", "--json"],
    ):
        done = sheaf(home, *words)
        assert (done.returncode, shown in done.stdout) == (0, True), (words, done)
        assert b"x\xffy" not in done.stdout
    for words in (["cache", "info", "--json"], ["cache", "info"], ["upload", "d", "r", "-m", "m", "-v"]):
        done = sheaf(home, *words, SHEAF_CACHE=f"{home}/{odd}")
        assert done.returncode == 0, (words, done)
        assert b"udc" not in done.stdout + done.stderr
    for words in (["config", "get"], ["config", "get", "--json"]):
        (home / odd).mkdir(exist_ok=True)
        done = sheaf(home, *words, SHEAF_CONFIG=f"{home}/{odd}")
        assert done.returncode == 2
        assert b"xffy" in done.stderr and b"udc" not in done.stderr and b"Traceback" not in done.stderr
    (home / "d" / odd).write_text("x")
    for words in (
        ["upload", "d", "r", "-m", "m", "--skip-on-error"],
        ["upload", "d", "r", "-m", "m", "--skip-on-error", "--dry-run"],
        ["diff", "r", "./d", "--skip-on-error"],
        ["bundle", "diff", "--repo", "r", "--destination", "d", "--skip-on-error"],
    ):
        for json_flag in ([], ["--json"]):
            done = sheaf(home, *words, *json_flag)
            assert done.returncode == 11, done
            assert b"x\\xffy" in done.stderr and b"udc" not in done.stderr + done.stdout
