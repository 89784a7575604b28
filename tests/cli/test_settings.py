"""Who wins: flag > environment > context > file > default."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from sheaf.cli.app import App
from sheaf.errors import InvalidInput, NotFound
from sheaf.settings import configfile
from sheaf.settings.settings import Environment, Settings, options_for, read_sheaf


def _read(
    tmp_path: Path, config: dict[str, object] | None = None, /, flags: dict[str, str] | None = None, **variables: str
) -> Settings:
    if config:
        configfile.save(tmp_path / ".config/sheaf/config.yaml", config)
    return read_sheaf(Environment(variables, tmp_path, "tester"), flags or {})


def test_with_nothing_said_the_store_is_in_the_users_data_folder(tmp_path: Path) -> None:
    settings = _read(tmp_path)
    assert settings.is_embedded
    assert settings.store == str(tmp_path / ".local/share/sheaf/store")
    assert settings.cache == tmp_path / ".cache/sheaf"
    assert settings.name == "tester"
    assert settings.context is None


def test_xdg_folders_are_honoured_unless_relative(tmp_path: Path) -> None:
    settings = _read(tmp_path, XDG_DATA_HOME="/data", XDG_CACHE_HOME="relative")
    assert settings.store == "/data/sheaf/store"
    assert settings.cache == tmp_path / ".cache/sheaf"


CONFIG: dict[str, object] = {
    "store": "s3://file",
    "region": "r-file",
    "context": "dev",
    "contexts": {
        "dev": {"store": "s3://dev", "region": "r-dev"},
        "prod": {"store": "s3://prod", "endpoint": "http://prod"},
    },
}


@pytest.mark.parametrize(
    ("flags", "variables", "store", "region", "context"),
    [
        ({}, {}, "s3://dev", "r-dev", "dev"),
        ({}, {"SHEAF_CONTEXT": "prod"}, "s3://prod", "r-file", "prod"),
        ({}, {"SHEAF_STORE": "s3://env"}, "s3://env", "r-file", None),
        ({}, {"SHEAF_STORE": "s3://env", "SHEAF_CONTEXT": "prod"}, "s3://env", "r-file", None),
        ({"context": "prod"}, {"SHEAF_STORE": "s3://env"}, "s3://prod", "r-file", "prod"),
        ({"store": "s3://flag"}, {"SHEAF_STORE": "s3://env"}, "s3://flag", "r-file", None),
        ({"store": "s3://flag", "context": "prod"}, {}, "s3://flag", "r-file", None),
        ({"region": "r-flag"}, {"SHEAF_REGION": "r-env"}, "s3://dev", "r-flag", "dev"),
        ({}, {"SHEAF_REGION": "r-env"}, "s3://dev", "r-env", "dev"),
        ({"context": "dev"}, {"SHEAF_REGION": "r-env"}, "s3://dev", "r-dev", "dev"),
    ],
)
def test_precedence(
    tmp_path: Path, flags: dict[str, str], variables: dict[str, str], store: str, region: str, context: str | None
) -> None:
    settings = _read(tmp_path, CONFIG, flags, **variables)
    assert (settings.store, settings.options["region"], settings.context) == (store, region, context)
    assert not settings.is_embedded


def test_options_of_a_context_that_lost_the_store_are_left_out(tmp_path: Path) -> None:
    settings = _read(tmp_path, CONFIG, {"store": "s3://other"}, SHEAF_CONTEXT="prod")
    assert "endpoint" not in settings.options


def test_options_are_read_from_text_of_any_source(tmp_path: Path) -> None:
    config: dict[str, object] = {"allow_http": True, "retries": 2, "ca_file": "~/ca.pem"}
    options = _read(tmp_path, config, {"limit_rate": "10M"}, SHEAF_TIMEOUT_S="2.5").storage_options()
    assert (options.allow_http, options.retries, options.limit_rate, options.timeout_s) == (True, 2, 10 << 20, 2.5)
    assert options.ca_file is not None
    assert not options.ca_file.startswith("~")


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"stroe": "x"}, InvalidInput, "unknown key 'stroe'"),
        ({"store": ["x"]}, InvalidInput, "'store' must be a single value"),
        ({"context": "nope"}, NotFound, "context 'nope' not found"),
        ({"context": "x", "contexts": ["x"]}, NotFound, "context 'x' not found"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, config: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _read(tmp_path, config)


def test_a_value_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="retries"):
        _read(tmp_path, None, {}, SHEAF_RETRIES="often").storage_options()


def test_the_configuration_file_can_be_elsewhere(tmp_path: Path) -> None:
    configfile.save(tmp_path / "a.yaml", {"name": "a"})
    configfile.save(tmp_path / "b.yaml", {"name": "b"})
    assert _read(tmp_path, None, {}, SHEAF_CONFIG=str(tmp_path / "a.yaml")).name == "a"
    assert (
        _read(tmp_path, None, {"config": str(tmp_path / "b.yaml")}, SHEAF_CONFIG=str(tmp_path / "a.yaml")).name == "b"
    )


def test_without_a_home_folder_the_error_says_what_to_set() -> None:
    with pytest.raises(InvalidInput, match="no home folder"):
        read_sheaf(Environment({}, None, "tester"), {})
    variables = {"SHEAF_CONFIG": "/nowhere.yaml", "SHEAF_CACHE": "/c", "SHEAF_STORE": "memory://x"}
    assert read_sheaf(Environment(variables, None, "tester"), {}).store == "memory://x"


def test_the_customers_key_may_stand_in_the_environment_and_is_nowhere_shown(cli: Cli) -> None:
    secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I="
    cli.variables |= {"SHEAF_SSE": "customer", "SHEAF_SSE_CUSTOMER_KEY": secret}
    app = App(cli.dialect, cli.surroundings())
    options = app.storage_options()
    assert options.sse_customer_key_file is not None
    assert Path(options.sse_customer_key_file).read_text() == secret
    assert secret not in repr((options, app.settings, app.environment))
    assert secret not in cli("config", "get").out
    app.close()


def test_a_replica_has_the_options_of_the_context_whose_store_it_is(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "store: s3://here/sheaf\nregion: eu-west-1\n"
        "contexts:\n  vault:\n    store: s3://vault/sheaf\n    profile: other\n    limit_rate: 1M\n"
    )
    settings = read_sheaf(Environment({"SHEAF_CONFIG": str(path)}, tmp_path, "me"), {})
    found = options_for(settings, "s3://vault/sheaf")
    assert (found.profile, found.region) == ("other", None)
    assert options_for(settings, "s3://third/sheaf").region == "eu-west-1"
