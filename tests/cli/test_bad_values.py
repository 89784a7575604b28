"""Every option and argument of every command with values that make no sense: one line that says so, never a traceback.

Walks over the commands themselves, so a new option is tried without being listed here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.cli.conftest import Cli, Result

from sheaf.cli.verb_tree import Verb, verbs_of
from sheaf.cli.verbs import SHEAF, VERBS, sheaf

ODD = ["", "-1", "0", "nan", "9" * 30, "x" * 70_000, "a\0b", "a\nb", "\udcff", "http://127.0.0.1:99999/", "/dev/null"]
FOLDER, MISSING, UNREADABLE = "a-folder", "missing/x", "unreadable"

#: Values that are right, by the metavar: of options and arguments that have to be there beside the one that is tried.
RIGHT = {
    "REPO": "r", "REF": "main", "LABEL": "v1", "BRANCH": "main", "DIR": "out", "TEXT": "text", "PATH": "f",
    "URL": "memory://other", "STORE_URL": "memory://other", "NAME": "name", "REPO[@REF]": "r@main", "REPO[@BRANCH]": "r",
    "ID": "3MlYNWyHcRSRPfUdPBiKwcWQ1O7",
}  # fmt: skip
#: Verbs that take minutes, or do not end by themselves, when all values are right.
ENDLESS = re.compile(r"mount|torture|sidecar postgres")
VERBS_HERE = {name: verb for name, verb in verbs_of(sheaf, SHEAF, VERBS) if not ENDLESS.search(name)}
CODES = {0, 1, 2, 3, 4, 5, 8, 9, 10, 11}


@pytest.fixture
def world(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Cli:
    """A store in memory with a repo, in a folder with things of all kinds."""
    monkeypatch.chdir(tmp_path)
    cli.variables |= {"SHEAF_RETRIES": "0", "SHEAF_STORE": f"memory://{tmp_path.name}", "SHEAF_TIMEOUT_S": "2"}
    Path(FOLDER).mkdir()
    Path(FOLDER, "f").write_text("x")
    cli("store", "init", cli.variables["SHEAF_STORE"])
    cli("repo", "create", "--repo", "r")
    cli("upload", FOLDER, "r", "-m", "m", "--label", "v1")
    return cli


def _values(param: click.Parameter) -> Iterator[str]:
    yield from ODD
    yield FOLDER
    yield MISSING


def _call(verb: Verb, name: str, tried: click.Parameter | None, value: str) -> list[str]:
    """The words of a call with a value for one parameter, and right ones for all others that are required."""
    options, arguments = [], []
    for param in verb.params:
        chosen = value if param is tried else RIGHT.get(param.metavar or "", "r")
        if param is not tried and not param.required:
            continue
        if isinstance(param, click.Option):
            options.append(
                f"{param.opts[-1]}={chosen}" if param.opts[-1].startswith("--") else f"{param.opts[-1]}{chosen}"
            )
        else:
            arguments.append(chosen)
    if name == "wait" and tried is not None:
        # Without an existing label or a time-out, the command would wait for the odd value to appear.
        options.append("--label=v1" if tried.name == "timeout" else "--timeout=0")
    options += _needed_together(name, tried)
    return [*name.split(), *options, "--", *arguments]


def _needed_together(name: str, tried: click.Parameter | None) -> Iterator[str]:
    """Options that are not required by themselves, but without which a verb says so before it reads any other."""
    given = set(tried.opts) if tried is not None else set()
    needed = {
        "sidecar backup": {"-d": FOLDER, "--repo": "r", "--work-dir": FOLDER},
        "sidecar datamover": {"-d": FOLDER, "--repo": "r", "-f": f"lists-{len(os.listdir())}"},
    }
    for option, value in needed.get(name, {}).items():
        if option not in given:
            yield f"{option}={value}" if option.startswith("--") else f"{option}{value}"


def _has_value(param: click.Parameter) -> bool:
    return not (isinstance(param, click.Option) and (param.is_flag or param.count))


def _problems(words: list[str], result: Result) -> Iterator[str]:
    shown = " ".join(word if len(word) < 60 else f"{word[:40]}...({len(word)})" for word in words)
    lines = result.err.splitlines()
    if result.code not in CODES:
        yield f"exit {result.code}: {shown!a}: {result.err[:300]}"
    elif re.search(r"Traceback|panic|unexpected", result.err):
        yield f"{shown!a}: {result.err[:300]}"
    elif max(map(len, lines), default=0) > 10_000:
        yield f"a line of {max(map(len, lines))} characters: {shown!a}: {result.err[:200]}"


@pytest.mark.parametrize("name", VERBS_HERE)
def test_no_value_of_an_option_is_unexpected(world: Cli, name: str) -> None:
    verb = VERBS_HERE[name]
    problems: list[str] = []
    for param in verb.params:
        for value in _values(param) if _has_value(param) else ():
            words = _call(verb, name, param, value)
            problems += _problems(words, world(*words, code=None))
    assert not problems, "\n".join(problems)


GLOBALS = {each.opts[0]: each for each in SHEAF.global_options if _has_value(each) and not each.hidden}


@pytest.mark.parametrize("name", GLOBALS)
@pytest.mark.parametrize("store", ["", "s3://bucket/x", "gs://bucket/x", "az://bucket/x?account=a"])
def test_no_value_of_a_global_option_is_unexpected(world: Cli, name: str, store: str) -> None:
    if store:
        world.variables |= {"SHEAF_STORE": store, "SHEAF_ENDPOINT": "http://127.0.0.1:1", "SHEAF_ANONYMOUS": "true"}
    problems: list[str] = []
    for value in _values(GLOBALS[name]):
        words = ["repo", "list", f"{name}={value}"]
        problems += _problems(words, world(*words, code=None))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("option", ["--store", "--context", "--config", "--key-file"])
def test_an_empty_value_is_not_the_default(world: Cli, datamon: Cli, option: str) -> None:
    assert f"'{option}': the value is empty" in world("repo", "list", option, "", code=2).err
    if option != "--config":
        datamon("repo", "list", option, "")


def test_an_empty_folder_name_is_not_the_current_folder(world: Cli) -> None:
    for words in (
        ["download", "r", ""],
        ["upload", "", "r", "-m", "m"],
        ["bundle", "update", "--repo=r", "--destination="],
    ):
        assert "the value is empty" in world(*words, code=2).err


def test_a_grace_that_is_no_number_is_refused(world: Cli) -> None:
    assert "'nan' is not a number" in world("store", "gc", "--grace", "nan", code=2).err
