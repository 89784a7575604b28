"""``-q`` and ``-v``: what is said on stderr, and that stdout stays as it is."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from sheaf.errors import Unavailable
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.wrappers.retry import RetryBackend, RetryPolicy
from sheaf.testing.faults import FaultyBackend


@pytest.fixture
def folder(cli: Cli, tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    (made / "a\tb").write_bytes(b"12345")
    (made / "link").symlink_to("nowhere")
    cli("repo", "create", "--repo", "r")
    return made


def _without_ids(text: str) -> str:
    return re.sub(r"[0-9A-Za-z]{27}", "ID", text)


# -- quiet


def test_quiet_drops_what_can_be_missed_and_leaves_results(cli: Cli, folder: Path) -> None:
    loud, quiet = cli("upload", folder, "r", "-m", "m"), cli("upload", folder, "r", "-m", "m", "-q")
    assert "stored" in loud.err
    assert quiet.err == ""
    assert _without_ids(quiet.out) == _without_ids(loud.out)
    assert cli("--quiet", "label", "set", "--repo", "r", "--label", "l", "--bundle", "main").err == ""
    assert "to restore it" in cli("label", "delete", "--repo", "r", "--label", "l").err
    cli("label", "set", "--repo", "r", "--label", "l", "--bundle", "main")
    assert cli("label", "delete", "--repo", "r", "--label", "l", "--quiet").err == ""


def test_quiet_leaves_warnings_and_errors(cli: Cli, folder: Path) -> None:
    (folder / "bad\udcff").write_bytes(b"")
    said = cli("upload", folder, "r", "-m", "m", "-q", "--skip-on-error", code=11)
    assert said.err.startswith("skipped bad")
    assert cli("ls", "nothing", "-q", code=3).err.startswith("error: ")


def test_quiet_and_verbose_exclude_each_other(cli: Cli, folder: Path) -> None:
    assert "-q and -v" in cli("upload", folder, "r", "-m", "m", "-qv", code=2).err
    assert "-q and -v" in cli("-q", "ls", "-v", code=2).err


def test_datamon_takes_neither(datamon: Cli) -> None:
    for flag in ("-q", "-v", "--quiet", "--verbose"):
        assert "No such option" in datamon("repo", "list", flag, code=1).err


# -- verbose


def test_verbose_names_each_file_and_phase(cli: Cli, folder: Path, tmp_path: Path) -> None:
    up = cli("upload", folder, "r", "-m", "m", "-v")
    assert _without_ids(up.out) == "Uploaded bundle id:ID\n"
    lines = up.err.splitlines()
    assert lines[0].startswith("store ")
    assert 'read "a\\tb", 5 bytes' in lines
    assert any(re.fullmatch(r"upload took \d+\.\d\d s", line) for line in lines)
    assert re.fullmatch(r"took \d+\.\d\d s", lines[-1])
    down = cli("download", "r", tmp_path / "copy", "-v").err.splitlines()
    assert {'wrote "a\\tb", 5 bytes', "wrote link"} <= {*down}


def test_an_update_names_what_it_removes(cli: Cli, folder: Path, tmp_path: Path) -> None:
    cli("upload", folder, "r", "-m", "m")
    cli("download", "r", tmp_path / "copy")
    (folder / "link").unlink()
    (folder / "new").write_bytes(b"x")
    cli("upload", folder, "r", "-m", "m")
    said = cli("bundle", "update", "--repo", "r", "--destination", tmp_path / "copy", "-v").err.splitlines()
    assert {"removed link", "wrote new, 1 bytes"} <= {*said}


def test_a_push_names_each_bundle(cli: Cli, folder: Path, tmp_path: Path) -> None:
    cli("store", "init", tmp_path / "other")
    cli("upload", folder, "r", "-m", "m")
    assert re.search(r"^copied bundle \w{27}, 2 entries$", cli("repo", "push", "r", tmp_path / "other", "-v").err, re.M)


def test_twice_verbose_names_each_request(cli: Cli, folder: Path) -> None:
    said = cli("upload", folder, "r", "-m", "m", "-vv").err
    assert re.search(r"^get sheaf\.json: \d+ bytes, \d+ ms$", said, re.M)
    assert re.search(r"^create packs/\S+: \d+ bytes, created, \d+ ms$", said, re.M)
    assert re.search(r"^get log/\S+: not found, \d+ ms$", said, re.M)
    assert "get sheaf.json" not in cli("-v", "ls", "r").err
    assert "get sheaf.json" in cli("ls", "-v", "r", "-v").err


def test_the_log_is_as_before_afterwards(cli: Cli, folder: Path) -> None:
    logger = logging.getLogger("sheaf")
    before = logger.level, logger.propagate, list(logger.handlers)
    cli("ls", "-vv")
    cli("ls", "nothing", "-vv", code=3)
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
    assert not logger.isEnabledFor(logging.INFO)


def test_no_line_shows_a_password(cli: Cli) -> None:
    said = cli("ls", "--store", "s3://user:secret@bucket/x", "-vv", code=2)
    assert "secret" not in said.err + said.out


def test_a_retry_is_told(caplog: pytest.LogCaptureFixture) -> None:
    faulty = FaultyBackend(MemoryBackend(), reads={1: Unavailable("busy")})
    faulty.inner.create("k", b"1")
    with caplog.at_level(logging.INFO, "sheaf"):
        RetryBackend(faulty, RetryPolicy(5, sleep=lambda _: None)).get("k")
    assert [record.getMessage()[:11] for record in caplog.records] == ["retrying in"]
    assert "busy" in caplog.text
