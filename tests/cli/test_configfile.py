from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sheaf.errors import InvalidInput
from sheaf.settings import configfile


def test_a_missing_file_is_an_empty_configuration(tmp_path: Path) -> None:
    assert configfile.load(tmp_path / "none.yaml") == {}


def test_what_is_saved_is_loaded_and_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "config.yaml"
    configfile.save(path, {"store": "s3://b/é", "contexts": {"prod": {"region": "x"}}})
    assert configfile.load(path) == {"store": "s3://b/é", "contexts": {"prod": {"region": "x"}}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["config.yaml"]


def test_saving_through_a_symlink_keeps_the_symlink(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.yaml", tmp_path / "config.yaml"
    real.write_text("store: old\n")
    link.symlink_to(real)
    configfile.save(link, {"store": "new"})
    assert link.is_symlink()
    assert configfile.load(real) == {"store": "new"}


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    configfile.save(path, {"store": "old"})
    with pytest.raises(Exception, match="cannot represent"):
        configfile.save(path, {"store": object()})
    assert configfile.load(path) == {"store": "old"}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"store: [1\nx: 2\n", "config.yaml, line 2:"),
        (b"- a\n- b\n", "must contain a mapping"),
        (b"store: \xff\n", "not UTF-8"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        configfile.load(path)
