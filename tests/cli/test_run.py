"""Errors, exit codes, streams: what every verb shares."""

from __future__ import annotations

import errno
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from tests.cli.conftest import Cli

from sheaf import errors
from sheaf.cli import run as running
from sheaf.cli.error_report import failure_of
from sheaf.cli.exits import EXITS
from sheaf.cli.verb_tree import VerbTree, verb
from sheaf.cli.verbs import VERBS
from sheaf.settings.secrets import read_key_file


def _failing(cli: Cli, action: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A program whose only verb does this."""

    @verb(example="sheaf fail")
    def fail(app: object) -> object:
        """Fail."""
        return action()

    monkeypatch.setattr("sheaf.cli.verb_tree._load", lambda at: fail)
    return Cli(cli.home, VerbTree("sheaf", {"fail": "x:y"}), cli.dialect)


def _raise(error: BaseException) -> Callable[[], Any]:
    def action() -> None:
        raise error

    return action


def test_every_exit_code_of_the_table_has_its_words() -> None:
    assert {rule.exit for rule in errors.RULES.values()} <= set(EXITS)


@pytest.mark.parametrize("kind", list(errors.RULES))
def test_each_category_ends_with_its_code(
    cli: Cli, datamon: Cli, kind: type[errors.SheafError], monkeypatch: pytest.MonkeyPatch
) -> None:
    action = _raise(kind("repo 'x' is odd", "do that"))
    result = _failing(cli, action, monkeypatch)("fail", code=errors.RULES[kind].exit)
    assert result.err == "error: repo 'x' is odd\nhint: do that\n"
    assert result.out == ""
    expected = 2 if kind is errors.NotFound else 1
    result = _failing(datamon, action, monkeypatch)("fail", code=expected)
    assert result.err.startswith("ERROR: repo 'x' is odd\n")


def test_an_error_as_json_is_one_object_with_the_code(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    result = _failing(cli, _raise(errors.NotFound("no", "create it")), monkeypatch)("fail", "--json", code=3)
    assert json.loads(result.err) == {"kind": "not-found", "message": "no", "hint": "create it", "exit": 3}


def test_a_foreign_error_is_one_line_and_its_traceback_waits_for_debug(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = _failing(cli, _raise(KeyError("two\nlines")), monkeypatch)
    result = program("fail", code=12)
    assert result.err.splitlines()[0].startswith("error: unexpected KeyError:")
    assert "--debug" in result.err
    assert "Traceback" not in result.err
    assert "Traceback" in program("fail", "--debug", code=12).err


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOENT, 3), (errno.EACCES, 9), (errno.ENOSPC, 10), (errno.ENOTDIR, 2), (errno.EIO, 12)]
)
def test_errors_of_the_system_name_the_file(number: int, code: int) -> None:
    failure = failure_of(OSError(number, "words of the system", "/the/file"))
    assert failure.exit == code
    assert "/the/file" in failure.message


def test_passwords_in_urls_are_left_out_of_messages() -> None:
    assert "hunter2" not in failure_of(errors.Unavailable("http://me:hunter2@proxy is away")).message


def test_interrupt_and_termination_have_the_shells_codes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _failing(cli, _raise(KeyboardInterrupt()), monkeypatch)("fail", code=130).err == "interrupted\n"
    assert _failing(cli, _raise(running._Terminated()), monkeypatch)("fail", code=143).err == "terminated\n"


def test_what_is_no_exception_is_unexpected_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    result = _failing(cli, _raise(PanicException("called unwrap")), monkeypatch)("fail", code=12)
    assert result.err.startswith("error: unexpected PanicException: called unwrap\n")
    assert json.loads(_failing(cli, _raise(PanicException()), monkeypatch)("fail", "--json", code=12).err)["exit"] == 12


def test_all_missing_options_are_said_at_once(cli: Cli, datamon: Cli) -> None:
    result = cli("bundle", "upload", "--branch", "b", code=2)
    assert result.err.startswith(f"error: Missing options {_required('bundle upload')}.\n")
    assert "--branch" not in result.err
    assert datamon("bundle", "upload", "--repo", "r", code=1).err.startswith('ERROR: required flag(s) "')
    assert "'--repo'" not in cli("bundle", "upload", "--repo", "r", code=2).err


def _required(verb: str) -> str:
    module, name = VERBS[verb].split(":")
    params = getattr(importlib.import_module(module), name).params
    names = [f"'{param.opts[0]}'" for param in params if param.required]
    return f"{', '.join(names[:-1])} and {names[-1]}"


@pytest.mark.parametrize(
    "source", ["flag", "environment", "config", "context", "query", "config set", "context create"]
)
def test_an_endpoint_without_a_scheme_is_named_wherever_it_comes_from(cli: Cli, source: str) -> None:
    ls: list[object] = ["ls", "x", "--json"]
    config = cli.home / ".config" / "sheaf" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("")
    store = "s3://b/x"
    if source == "flag":
        ls += ["--store", store, "--endpoint", "minio:9000"]
    elif source == "environment":
        cli.variables.update(SHEAF_STORE=store, SHEAF_ENDPOINT="minio:9000")
    elif source == "config":
        config.write_text(f"store: {store}\nendpoint: minio:9000\n")
    elif source == "context":
        config.write_text(f"context: c\ncontexts:\n  c: {{store: '{store}', endpoint: 'minio:9000'}}\n")
    elif source == "query":
        ls += ["--store", f"{store}?endpoint=minio:9000"]
    elif source == "config set":
        ls = ["config", "set", "endpoint", "minio:9000", "--json"]
    else:
        ls = ["context", "create", "c", "--store", store, "--endpoint", "minio:9000", "--json"]
    failure = json.loads(cli(*ls, code=2).err)
    assert failure["message"] == "endpoint 'minio:9000' has no scheme"
    assert failure["hint"] == "write http://minio:9000 or https://minio:9000"


def test_a_configuration_file_that_is_named_must_be_there(cli: Cli, tmp_path: Path) -> None:
    for words in (["repo", "list"], ["context", "list"], ["config", "get"]):
        assert (
            f"file {tmp_path}/typo.yaml does not exist" in cli("--config", tmp_path / "typo.yaml", *words, code=2).err
        )
    cli("--config", tmp_path / "new.yaml", "config", "set", "region", "x")
    cli("--config", tmp_path / "new.yaml", "config", "get")


@pytest.mark.parametrize("text", ["regoin: x\n", "contexts:\n  prod: {store: /s, regoin: x}\n"])
def test_a_mistyped_key_of_the_configuration_is_named_with_the_right_one(cli: Cli, tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    result = cli("--config", tmp_path / "c.yaml", "repo", "list", code=2)
    assert "unknown key 'regoin'" in result.err
    assert "did you mean region?" in result.err


def test_a_glob_that_is_taken_for_an_expression_is_answered_with_one(cli: Cli, faces: str, tmp_path: Path) -> None:
    words = ["bundle", "download", "--repo", "faces", "--destination", tmp_path / "out", "--name-filter"]
    assert "the expression for this glob is '\\.png$'" in cli(*words, "*.png", code=2).err


def test_a_key_file_that_everybody_may_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "key"
    path.write_text("00" * 32)
    for mode, is_told in ((0o600, False), (0o640, False), (0o644, True)):
        path.chmod(mode)
        caplog.clear()
        read_key_file(path)
        assert (f"chmod o= {path}" in caplog.text) == is_told


def test_a_broken_connection_is_not_taken_for_a_broken_stdout(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "unexpected" in _failing(cli, _raise(BrokenPipeError()), monkeypatch)("fail", code=12).err


def test_a_code_that_a_verb_returns_is_the_exit_code(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(cli, lambda: 6, monkeypatch)("fail", code=6)


def test_usage_errors_are_two_and_say_where_help_is(cli: Cli, datamon: Cli) -> None:
    result = cli("repo", "get", code=2)
    assert result.err == "error: Missing option '--repo'.\nhint: run 'sheaf repo get --help' for usage\n"
    assert datamon("repo", "get", code=1).err.startswith('ERROR: required flag(s) "repo" not set\n')
    cli("no-such-verb", code=2)
    cli("repo", "get", "--no-such-flag", code=2)


def test_without_arguments_help_is_shown(cli: Cli) -> None:
    assert cli().out == cli("--help").out == cli("-h").out
    assert "list files" in cli("bundle").out


@pytest.mark.parametrize(
    ("noun", "verbs"), [("key", ["add", "list", "remove", "rotate"]), ("replica", ["add", "list"])]
)
def test_the_first_word_of_several_commands_lists_them(cli: Cli, noun: str, verbs: list[str]) -> None:
    shown = cli("store", noun, "--help").out
    assert all(f"\n  {verb} " in shown for verb in verbs)
    assert cli("store", noun).out == shown
    refused = cli("store", noun, verbs[0][:-1], code=2)
    assert f"Did you mean 'store {noun} {verbs[0]}'?" in refused.err


def test_global_options_may_stand_anywhere(cli: Cli) -> None:
    for args in (
        ("--store", "memory://x", "config", "get", "store"),
        ("config", "get", "store", "--store", "memory://x"),
    ):
        assert cli(*args).out == "memory://x\n"
    assert cli("config", "--store", "memory://x", "get", "store").out == "memory://x\n"


def _verbs(tree: VerbTree, table: dict[str, str]) -> list[tuple[str, click.Command]]:
    from sheaf.cli.verb_tree import _load

    return [(name, _load(at)) for name, at in table.items()]


@pytest.mark.parametrize("program", ["sheaf", "datamon"])
def test_each_verb_shows_an_example_and_its_exit_codes(cli: Cli, datamon: Cli, program: str) -> None:
    from sheaf.cli.datamon import VERBS as DATAMON_VERBS
    from sheaf.cli.verbs import VERBS

    called, table = (cli, VERBS) if program == "sheaf" else (datamon, DATAMON_VERBS)
    for name in table:
        address = ["faces@init"] if name == "label" else []  # which is a noun, too
        text = called(*name.split(), *address, "--help").out
        assert f"Usage: {program} {name}" in text
        assert f"{program} {name}" in text.split("Example:")[1].split("Exit codes:")[0], name
        assert "0" in text.split("Exit codes:")[1]


def test_completion_knows_verbs_second_words_and_options(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.variables["_SHEAF_COMPLETE"] = "bash_complete"

    def complete(words: str) -> list[str]:
        monkeypatch.setenv("SHEAF_LINE", words)  # which the completion reads itself
        monkeypatch.setenv("SHEAF_WORD", words.rsplit(" ", 1)[-1])
        return [line.split(",")[1] for line in cli().lines]

    assert "bundle" in complete("sheaf b")
    assert {"upload", "list", "download"} <= set(complete("sheaf bundle "))
    assert complete("sheaf diamond split ") == ["add", "get", "list"]
    assert "--label" in complete("sheaf bundle upload --l")
