"""What a shell offers after a tab: asked of the program, of bash itself, and of a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from sheaf.cli.words import name_of

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def test_a_metavar_says_what_can_be_completed() -> None:
    assert name_of("REPO") == name_of("[REPO]") == "REPO"
    assert (
        name_of("[REPO[@REF][:PATH]]")
        == name_of("LOCAL|REPO@REF:PATH")
        == name_of("HASH|REPO@REF:PATH...")
        == "ADDRESS"
    )
    assert name_of("DIR") == name_of(None) == name_of("NEW") == ""


@pytest.fixture
def complete(cli: Cli, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """What is offered for a line as typed, in full words."""

    def offered(line: str, word: str | None = None) -> list[str]:
        monkeypatch.setenv("SHEAF_LINE", line)
        monkeypatch.setenv("SHEAF_WORD", line.rsplit(" ", 1)[-1] if word is None else word)
        cli.variables["_SHEAF_COMPLETE"] = "bash_complete"
        try:
            result = cli()
        finally:
            del cli.variables["_SHEAF_COMPLETE"]
        assert result.err == ""
        return [value for kind, value in (text.split(",", 1) for text in result.lines if text) if kind == "plain"]

    return offered


def test_repos_refs_and_paths_are_offered_one_after_the_other(cli: Cli, faces: str, complete) -> None:  # type: ignore[no-untyped-def]
    cli("repo", "create", "--repo", "facts", "--description", "others")
    assert complete("sheaf ls fa") == ["faces", "facts"]
    assert complete("sheaf ls faces@") == ["faces@init", "faces@main"]
    assert complete("sheaf ls faces") == ["faces", "faces@init", "faces@main"]
    top = complete("sheaf cat faces@init:")
    assert top and all(name.startswith("faces@init:") for name in top)
    folder = next(name for name in top if name.endswith("/"))
    assert all(name.startswith(folder) and name != folder for name in complete(f"sheaf cat {folder}"))


def test_options_are_completed_by_what_they_name(faces: str, complete) -> None:  # type: ignore[no-untyped-def]
    assert complete("sheaf label list --repo fa") == ["faces"]
    assert complete("sheaf label list --repo=fa", "fa") == ["faces"]
    assert complete("sheaf bundle download --repo faces --label i") == ["init"]
    assert complete("sheaf bundle download --repo faces --branch ") == ["main"]
    assert complete("sheaf bundle download --repo faces --bundle ") == ["init", "main"]
    assert complete("sheaf bundle upload --repo faces --branch m") == ["main"]


def test_contexts_and_keys_come_from_the_configuration(cli: Cli, complete) -> None:  # type: ignore[no-untyped-def]
    cli("context", "create", "prod", "--store", "/nowhere")
    assert complete("sheaf context use p") == ["prod"]
    assert complete("sheaf --context p") == ["prod"]
    assert complete("sheaf config get reg") == ["region"]


def test_what_cannot_be_looked_up_is_not_offered_and_not_complained_about(cli: Cli, complete) -> None:  # type: ignore[no-untyped-def]
    cli.variables["SHEAF_STORE"] = "/nowhere/at/all"
    assert complete("sheaf ls fa") == []
    assert complete("sheaf bundle download --label ") == []


def test_bash_gets_only_what_follows_its_own_word_breaks(faces: str, complete) -> None:  # type: ignore[no-untyped-def]
    assert complete("sheaf ls faces@in", "in") == ["init"]
    assert all(not name.startswith("faces") for name in complete("sheaf cat faces@init:", ""))


def test_odd_names_are_spelled_for_bash(cli: Cli, tmp_path: Path, complete) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ("a b", "it's", "$x", "new\nline"):
        (folder / name).write_text("x")
    cli("repo", "create", "--repo", "odd")
    cli("bundle", "upload", "--repo", "odd", "--path", folder, "--message", "m")
    assert complete("sheaf cat odd@main:", "") == ["\\$x", "a\\ b", "it\\'s"]
    assert complete("sheaf cat odd@main:a\\ ", "a\\ ") == ["a\\ b"]
    assert complete("sheaf cat 'odd@main:a", "'odd@main:a") == ["odd@main:a b"]


def test_a_tab_in_a_real_bash_completes_an_address(cli: Cli, faces: str, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "sheaf"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from sheaf.cli.main import main; main()' \"$@\"\n")
    program.chmod(0o755)
    environment = {"HOME": str(cli.home), "PATH": f"{program.parent}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ "}
    script = subprocess.run(
        [program, "completion", "bash"], env=environment, capture_output=True, text=True, check=True
    )
    (tmp_path / "rc").write_text(f"{script.stdout}\nbind 'set bell-style none'\nPS1='ready> '\n")
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe("bash", ["bash", "--noprofile", "--rcfile", str(tmp_path / "rc"), "-i"], environment)
    try:
        _until(terminal, "ready> ")
        os.write(terminal, b"sheaf ls fa\t")
        assert "faces" in _until(terminal, "faces")
        os.write(terminal, b"\b@in\t")
        _until(terminal, "init")
        os.write(terminal, b"\b:\r")
        assert re.search(r"\btrain/|\blabels", _until(terminal, "ready> "))
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def _until(terminal: int, wanted: str) -> str:
    """What the terminal shows until that has come."""
    shown, end = "", time.monotonic() + 60
    while wanted not in shown:
        if not select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0]:
            raise AssertionError(f"{wanted!r} did not come: {shown!r}")
        shown += os.read(terminal, 4096).decode(errors="replace")
    return shown
