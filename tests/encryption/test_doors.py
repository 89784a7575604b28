"""Every door opens an encrypted store, wherever its key is kept."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, cli  # noqa: F401 - fixture
from tests.doors.doors import World
from tests.doors.test_doors import (  # noqa: F401 - fixtures and tests
    expected,
    folder,
    test_every_door_writes_the_same_version_and_all_others_read_it,
)
from tests.libraries import need

import sheaf
from sheaf.cli.verbs import SHEAF
from sheaf.cli.verbs import sheaf as verbs
from sheaf.errors import Denied, InvalidInput, Refused, Unsupported
from sheaf.fsspec import SheafFileSystem
from sheaf.repo.store import Store
from sheaf.settings.secrets import keep_in_keyring, parse_key, read_key_file, secrets_for, write_key_file
from sheaf.settings.settings import read_environment

pytestmark = pytest.mark.filterwarnings("ignore")  # IPython's, about virtual environments

KEY = bytes(range(32))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    write_key_file(tmp_path / "keys" / "key", KEY)
    return tmp_path / "keys" / "key"


@pytest.fixture
def world(tmp_path: Path, key_file: Path) -> Iterator[World]:
    """As in the tests of doors; the URL names the key."""
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    url = f"file://{tmp_path}/store?key_file={key_file}"
    with sheaf.init(url, options=sheaf.StorageOptions(durability="none")) as store:
        assert store.is_encrypted
        store.create_repo("faces")
        yield World(url, store, Cli(home, verbs, SHEAF, {"SHEAF_STORE": url}), scratch)


# -- where keys are kept -----------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An encrypted store of a user who has configured nothing."""
    for name in ("SHEAF_KEY", "SHEAF_KEY_FILE", "SHEAF_PASSPHRASE", "SHEAF_STORE", "SHEAF_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "somebody"))
    with sheaf.init(f"file://{tmp_path}/store?durability=none", key=KEY) as made:
        made.create_repo("r")
        with made.repo("r").edit(message="m") as edit:
            edit.put("x", b"words")
            edit.commit()
        yield made


def reads(url: str, **options: object) -> bytes:
    with sheaf.connect(url, **options) as found:  # type: ignore[arg-type]
        return found.repo("r").bundle().read("x")


def test_the_caller_gives_it(store: Store) -> None:
    assert reads(store.url, key=KEY) == b"words"
    with pytest.raises(Denied, match="no key was given"):
        reads(store.url)


def test_an_option_or_the_url_names_a_file(store: Store, key_file: Path) -> None:
    assert reads(store.url, options=sheaf.StorageOptions(key_file=str(key_file))) == b"words"
    assert reads(f"{store.url}?key_file={key_file}") == b"words"
    assert (
        SheafFileSystem(store=store.url, key_file=str(key_file), skip_instance_cache=True).cat("r@main/x") == b"words"
    )


@pytest.mark.parametrize("form", [KEY.hex(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="])
def test_the_environment_has_it(store: Store, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("SHEAF_KEY", form)
    assert reads(store.url) == b"words"
    assert SheafFileSystem(store=store.url, skip_instance_cache=True).cat("r@main/x") == b"words"


def test_the_environment_has_a_passphrase(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.keys.add("some words")
    monkeypatch.setenv("SHEAF_PASSPHRASE", "some words")
    assert reads(store.url) == b"words"


def test_the_configuration_file_names_a_file(store: Store, key_file: Path, tmp_path: Path) -> None:
    config = tmp_path / "somebody" / ".config" / "sheaf" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(f"contexts:\n  safe:\n    store: {store.url}\n    key_file: {key_file}\n")
    assert reads(store.url) == b"words"
    config.write_text(f"store: {store.url}\nkey_file: {key_file}\n")
    with sheaf.connect() as found:
        assert found.repo("r").bundle().read("x") == b"words"


def test_the_keyring_has_it(store: Store) -> None:
    keyring, backends = need("keyring"), need("keyring.backend")
    kept: dict[tuple[str, str], str] = {}

    class InMemory(backends.KeyringBackend):  # type: ignore[misc, name-defined]
        priority = 1

        def get_password(self, service: str, username: str) -> str | None:
            return kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            kept[service, username] = password

    before = keyring.get_keyring()
    keyring.set_keyring(InMemory())
    try:
        with pytest.raises(Denied):
            reads(store.url)
        keep_in_keyring(store.id, KEY)
        assert reads(store.url) == b"words"
    finally:
        keyring.set_keyring(before)


def test_a_machine_without_a_keyring_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for broken in (True, False):
        if broken:
            monkeypatch.setitem(__import__("sys").modules, "keyring", None)
            with pytest.raises(Unsupported, match="keyring"):
                keep_in_keyring("id", KEY)
        else:
            monkeypatch.undo()
            monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
            monkeypatch.setenv("HOME", str(tmp_path))
        assert [*secrets_for(read_environment(), sheaf.StorageOptions(), "s3://x", "id")] == []


def test_a_named_key_refuses_a_store_that_is_not_encrypted(tmp_path: Path, key_file: Path) -> None:
    sheaf.init(str(tmp_path / "plain")).close()
    with pytest.raises(Refused, match="not encrypted"):
        sheaf.connect(str(tmp_path / "plain"), options=sheaf.StorageOptions(key_file=str(key_file)))
    with pytest.raises(Refused, match="not encrypted"):
        sheaf.connect(str(tmp_path / "plain"), key=KEY)


def test_a_store_that_is_made_on_the_way_is_encrypted_if_a_key_is_named(tmp_path: Path, key_file: Path) -> None:
    options = sheaf.StorageOptions(key_file=str(key_file))
    with sheaf.connect(str(tmp_path / "new"), options=options, create=True) as made:
        assert made.is_encrypted
    with pytest.raises(InvalidInput, match="key file nowhere does not exist"):
        sheaf.connect(str(tmp_path / "other"), options=sheaf.StorageOptions(key_file="nowhere"), create=True)
    assert not (tmp_path / "other").exists()


def test_key_files(tmp_path: Path) -> None:
    write_key_file(tmp_path / "deep" / "key", KEY)
    assert read_key_file(tmp_path / "deep" / "key") == KEY
    assert stat.S_IMODE((tmp_path / "deep" / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700
    with pytest.raises(InvalidInput, match="already exists"):
        write_key_file(tmp_path / "deep" / "key", bytes(32))
    (tmp_path / "raw").write_bytes(KEY)
    assert read_key_file(tmp_path / "raw") == KEY
    for bad in (b"", b"junk", KEY[1:], KEY + b"\n" + KEY, b"g" * 64, b"=" * 44, b"\xff" * 64):
        with pytest.raises(InvalidInput, match="does not contain a key"):
            parse_key(bad, "it")


# -- commands ----------------------------------------------------------------------------------------------------------


def test_a_day_with_the_command_line(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    url, key = str(tmp_path / "s"), tmp_path / "key"
    cli.variables["SHEAF_STORE"] = url
    assert "--key-file FILE" in cli("store", "init", "--encrypt", code=2).err
    assert "hint: add --encrypt" in cli("store", "init", "--key-file", key, code=2).err and not key.exists()
    made = cli("store", "init", "--encrypt", "--key-file", key)
    assert "encrypted" in made.out
    assert "keep a copy" in made.err
    assert "no key was given" in cli("repo", "list", code=9).err
    cli.variables["SHEAF_KEY_FILE"] = str(key)
    cli("repo", "create", "--repo", "r")
    assert "encryption" in cli("store", "info").out
    cli("store", "key", "add", "--passphrase", "--note", "by heart", stdin="words\n")
    first, second = cli("store", "key", "list").out.splitlines()
    assert cli("store", "key", "list", "--table").out.split()[:4] == ["ID", "KIND", "TIME", "STATE"]
    assert "opened it" in first
    assert "by heart" in second
    cli("store", "key", "rotate", "--new-key-file", tmp_path / "new")
    assert "can't be opened with" in cli("repo", "list", code=9).err
    cli.variables["SHEAF_KEY_FILE"] = str(tmp_path / "new")
    assert cli("repo", "list").out.startswith("r\t")
    assert "expected exactly one new key" in cli("store", "key", "add", code=2).err
    cli("store", "key", "remove", second.split("\t")[0])
    assert "the last one" in cli("store", "key", "remove", cli("store", "key", "list").out.split("\t")[0], code=5).err
    assert "no damage" in cli("store", "check").out


def test_a_store_with_a_passphrase(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    cli.variables["SHEAF_STORE"] = str(tmp_path / "s")
    assert "the passphrase is empty" in cli("store", "init", "--passphrase", code=2).err
    cli("store", "init", "--passphrase", stdin="words\n")
    monkeypatch.setenv("SHEAF_PASSPHRASE", "words")
    assert cli("repo", "list").out == ""
    monkeypatch.setenv("SHEAF_PASSPHRASE", "other words")
    assert "can't be opened with SHEAF_PASSPHRASE" in cli("repo", "list", code=9).err
