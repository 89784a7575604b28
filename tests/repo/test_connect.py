"""Connecting without naming a store: the one that the command line would use."""

from __future__ import annotations

from pathlib import Path

import pytest

import sheaf
from sheaf.errors import NotFound


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SHEAF_STORE", "SHEAF_CONFIG", "SHEAF_CONTEXT", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_environment_names_the_store_and_its_user(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sheaf.init(str(home / "theirs")).close()
    monkeypatch.setenv("SHEAF_STORE", str(home / "theirs"))
    monkeypatch.setenv("SHEAF_NAME", "ada")
    with sheaf.connect() as store:
        assert store.url.endswith("/theirs")
        assert store.create_repo("faces").author.name == "ada"


def test_a_store_that_was_named_must_be_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEAF_STORE", str(home / "none"))
    with pytest.raises(NotFound):
        sheaf.connect()


def test_with_nothing_named_it_is_the_one_in_the_home_folder(home: Path) -> None:
    with pytest.raises(NotFound):
        sheaf.connect()
    with sheaf.connect(create=True) as store:
        store.create_repo("faces")
    assert (home / ".local/share/sheaf/store/sheaf.json").exists()


def test_who_names_a_store_is_named_like_the_user_of_the_command_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHEAF_NAME", "ada")
    monkeypatch.setenv("SHEAF_EMAIL", "ada@example.org")
    with sheaf.init(str(home / "s")) as store:
        assert store.create_repo("one").author == sheaf.Author("ada", "ada@example.org")
    with sheaf.connect(str(home / "s")) as store:
        assert store.create_repo("two").author == sheaf.Author("ada", "ada@example.org")
    with sheaf.connect(str(home / "s"), author=sheaf.Author("bot")) as store:
        assert store.create_repo("three").author == sheaf.Author("bot")
    monkeypatch.setenv("SHEAF_CONTEXT", "none")  # what is configured makes no sense, and isn't needed
    with sheaf.connect(str(home / "s")) as store:
        assert store.create_repo("four").author.name


def test_what_is_shown_in_a_shell(home: Path) -> None:
    with sheaf.init(str(home / "s")) as store:
        assert repr(store) == f"Store('file://{home}/s')"
        assert repr(store.create_repo("faces")) == f"Repo('faces' in 'file://{home}/s')"
    with pytest.raises(sheaf.SheafError):
        sheaf.connect(str(home / "none"))
