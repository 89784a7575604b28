"""Every form of parameters that Datamon's guide of PostgreSQL has, and what is wrong with others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from sheaf.errors import InvalidInput, NotFound, SheafError
from sheaf.sidecar.coordination import POSTGRES
from sheaf.sidecar.fuse_parameters import Given
from sheaf.sidecar.postgres.database_parameters import PostgresParameters, read_postgres_parameters

SECOND_GENERATION = """
globalOpts:
  coordPoint: {coord}
  sleepInsteadOfExit: false
  sleepTimeout: 600
  pollInterval: 1
database:
  name: db1
  dataDir: /pg_stage
  pgPort: 5430
  srcRepo: example-repo
  srcLabel: base
  destRepo: example-repo
  destLabel: result
  destMessage: "postgres coordination example"
  owner: postgres
"""
SEVERAL = """
globalOpts: {{coordPoint: {coord}, contributor: x, configBucketName: b, ignorePGVersionMismatch: true}}
databases:
- {{name: one, pgPort: 5431, destRepo: r, destMessage: m, destBundleID: {coord}.id}}
- {{name: two, pgPort: 5432, srcRepo: r, srcBundle: 2PtCxQ1vZ8mJkYw3hTn5rBfLd7s, destForm: dump, contributor: y}}
"""


def _read(variables: Mapping[str, str], flags: Mapping[str, str] = {}, **others: object) -> PostgresParameters:
    given = {key: str(value) for key, value in others.items() if key == "coordPoint"}
    id_file = others.get("id_file")
    return read_postgres_parameters(Given(variables, given, id_file=Path(str(id_file)) if id_file else None), flags)


def _claimed(found: PostgresParameters, top: Path) -> list[str]:
    """Where the sidecar shows itself, below the coordination folder."""
    found.folders.claim()
    return sorted(str(path.parent.relative_to(top)) for path in top.rglob(POSTGRES.running))


@pytest.mark.parametrize("form", ["text", "file", "environment"])
def test_one_database_of_the_second_generation(tmp_path: Path, form: str) -> None:
    text = SECOND_GENERATION.format(coord=tmp_path / "coord")
    (tmp_path / "pgparams.yaml").write_text(text)
    lines = [line.strip().split(": ") for line in text.splitlines() if ": " in line]
    database = {"name", "dataDir", "pgPort", "srcRepo", "srcLabel", "destRepo", "destLabel", "destMessage", "owner"}
    variables = {
        "text": {"SIDECAR_CONFIG": text},
        "file": {"SIDECAR_CONFIG": str(tmp_path / "pgparams.yaml")},
        "environment": {
            f"SIDECAR_{'DATABASE' if key in database else 'GLOBALOPTS'}_{key.upper()}": value.strip('"')
            for key, value in lines
        },
    }
    found = _read(variables[form])
    (only,) = found.databases
    assert (only.name, only.port, only.owner, only.saves_dump) == ("db1", 5430, "postgres", False)
    assert only.data == Path("/pg_stage/db1")
    assert only.source == ("--repo", "example-repo", "--label", "base")
    assert only.upload is not None
    assert only.upload.words == (
        *("bundle", "upload", "--path", "/pg_stage/db1", "--message", "postgres coordination example"),
        *("--repo", "example-repo", "--label", "result"),
    )
    assert (found.behaviour.stays, found.behaviour.stay_s, found.behaviour.poll_s) == (False, 600, 1)
    assert _claimed(found, tmp_path / "coord") == ["db1"]


def test_several_databases_of_yaml(tmp_path: Path) -> None:
    found = _read({"SIDECAR_CONFIG": SEVERAL.format(coord=tmp_path / "coord")})
    one, two = found.databases
    assert (one.source, two.source) == ((), ("--repo", "r", "--bundle", "2PtCxQ1vZ8mJkYw3hTn5rBfLd7s"))
    assert one.upload is not None
    assert one.upload.id_file == Path(f"{tmp_path}/coord.id")
    assert two.upload is None
    assert two.saves_dump
    assert found.ignores_version
    assert _claimed(found, tmp_path / "coord") == ["one", "two"]


def test_several_databases_of_the_first_generation(tmp_path: Path) -> None:
    variables = {
        "dm_pg_opts": f";:c:{tmp_path}/coord;V:true;S:false",
        "dm_pg_db_db1": ";:p:5430;m:postgres coordination;r:example-repo;l:my-label",
        "dm_pg_db_db2": "|=p=5429|m=made of db2|r=example-repo|sr=source|sb=2PtCxQ1vZ8mJkYw3hTn5rBfLd7s",
    }
    found = _read(variables)
    one, two = found.databases
    assert [(each.name, each.port) for each in (one, two)] == [("db1", 5430), ("db2", 5429)]
    assert one.upload is not None
    assert one.upload.words[-2:] == ("--label", "my-label")
    assert two.source == ("--repo", "source", "--bundle", "2PtCxQ1vZ8mJkYw3hTn5rBfLd7s")
    assert found.ignores_version
    assert _claimed(found, tmp_path / "coord") == ["."], "its applications know no folders of databases"


def test_a_flag_precedes_yaml_and_yaml_the_environment(tmp_path: Path) -> None:
    variables = {
        "SIDECAR_CONFIG": SECOND_GENERATION.format(coord=tmp_path),
        "SIDECAR_DATABASE_OWNER": "alice",
        "SIDECAR_DATABASE_DESTFORM": "dump",
    }
    (only,) = _read(variables, {"pgPort": "1"}).databases
    assert (only.port, only.owner, only.saves_dump) == (1, "postgres", True)
    assert only.upload is not None
    assert only.upload.words[3] == "/pg_stage/db1.dump"


@pytest.mark.parametrize(
    "variables",
    [
        {"SIDECAR_CONFIG": "databases: [{name: a, pgPort: 1, owner: b}, {name: b}]\n"},
        {"dm_pg_opts": ";:V", "dm_pg_db_a": ";:p:1;r:r;m:m", "dm_pg_db_b": ";:p:2;r:r;m:m"},
    ],
    ids=["yaml", "serialized"],
)
def test_where_the_data_is_can_be_said_for_all_databases(variables: dict[str, str]) -> None:
    found = _read({**variables, "SIDECAR_DATABASE_DATADIR": "/data"}, {"destForm": "dump"}).databases
    assert [str(each.data) for each in found] == ["/data/a", "/data/b"]
    assert [each.saves_dump for each in found] == [True, True]


@pytest.mark.parametrize(
    ("variables", "flags", "message"),
    [
        ({"SIDECAR_CONFIG": "database: {Name: x, nAME: y}\n"}, {}, "SIDECAR_CONFIG: database: name is set twice"),
        ({"SIDECAR_CONFIG": "database: {srcLabel: x}\n"}, {}, "database db: srcRepo is missing"),
        ({}, {"destRepo": "r"}, "database db: destMessage is missing"),
        ({}, {"destMessage": "m"}, "database db: destRepo is missing"),
        ({}, {"destLabel": "m"}, "database db: destRepo is missing"),
        ({}, {"srcLabel": "l"}, "database db: srcRepo is missing"),
        ({}, {"srcRepo": "r", "srcLabel": "l", "srcBundle": "b"}, "database db: both srcLabel and srcBundle"),
        ({}, {"pgPort": "65536"}, "database db: '65536' is not a port"),
        ({}, {"pgPort": "²"}, "database db: '²' is not a port"),
        ({}, {"name": "../x"}, "database '../x': not a name of a folder"),
        ({}, {"destForm": "tar"}, "database db: 'tar' is not a form"),
        ({"SIDECAR_CONFIG": "database: {nam: x}\n"}, {}, "SIDECAR_CONFIG: database: unknown key 'nam'"),
        ({"SIDECAR_CONFIG": "databases: {}\n"}, {}, "SIDECAR_CONFIG: databases is not a list"),
        ({"SIDECAR_CONFIG": "databases: [{name: x}, {name: x}]\n"}, {}, "database x: the name of two databases"),
        ({"SIDECAR_CONFIG": "databases: [{name: x}, {name: y}]\n"}, {}, "port 5432: the port of two databases"),
        (
            {"SIDECAR_CONFIG": "databases: [{name: x}, {name: x.source, pgPort: 1}]\n"},
            {},
            "/pg_stage/x.source: two databases would use this folder",
        ),
        ({}, {"destRepo": "r", "destMessage": "m", "destLabel": "a b"}, "invalid label or branch name 'a b'"),
        (
            {"SIDECAR_CONFIG": "databases: [{name: x}]\n"},
            {"pgPort": "1"},
            "it lists the databases, so a flag can't set pgPort",
        ),
        ({"dm_pg_opts": ";:V"}, {}, "dm_pg_opts: no database"),
        ({"dm_pg_opts": ";:V", "dm_pg_db_a": ";:p:1;r:r"}, {}, "dm_pg_db_a: destMessage is missing"),
        ({"dm_pg_opts": ";:V", "dm_pg_db_a": ";:p:1;r:r;m:m;sl:l"}, {}, "dm_pg_db_a: srcRepo is missing"),
        ({"dm_pg_opts": ";:V", "dm_pg_db_a": ";:p:1;r:r;m:m;sr:r"}, {}, "not exactly one of srcLabel and srcBundle"),
        ({"dm_pg_opts": ";:V", "dm_pg_db_a": ";:p:1;r:r;m:m"}, {"pgPort": "2"}, "so a flag can't set pgPort"),
        ({"dm_pg_opts": ";:x"}, {}, "dm_pg_opts: unknown key 'x'"),
    ],
)
def test_wrong_parameters_are_refused_and_told_to_the_application(
    tmp_path: Path, variables: dict[str, str], flags: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message.replace("(", r"\(").replace("²", ".")):
        _read(variables, flags, coordPoint=tmp_path / "coord")
    told = [path.read_text() for path in (tmp_path / "coord").rglob(POSTGRES.failed)]
    assert told
    assert all(message in each for each in told)


def test_a_file_that_does_not_exist_is_told_where_the_flags_say(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        _read({"SIDECAR_CONFIG": "/nowhere/x.yaml"}, {"name": "mine"}, coordPoint=tmp_path)
    assert "does not exist" in (tmp_path / "mine" / POSTGRES.failed).read_text()


def test_the_id_is_that_of_the_only_saved_database(tmp_path: Path) -> None:
    (only,) = _read({}, {"destRepo": "r", "destMessage": "m"}, id_file=tmp_path / "id").databases
    assert only.upload is not None
    assert only.upload.id_file == tmp_path / "id"
    with pytest.raises(SheafError, match="0 databases are saved"):
        _read({}, {"srcRepo": "r"}, id_file=tmp_path / "id", coordPoint=tmp_path)


def test_no_parameters_are_a_blank_database_that_is_not_saved() -> None:
    found = _read({})
    (only,) = found.databases
    assert (only.name, only.port, only.owner, only.source, only.upload) == ("db", 5432, "postgres", (), None)
    assert only.data == Path("/pg_stage/db")


def test_the_default_file_counts_if_it_is_there(tmp_path: Path) -> None:
    assert Given({}, {}).default_file == Path("/config/pgparams.yaml")
    (tmp_path / "pgparams.yaml").write_text("database: {name: of the file}\n")
    variables = {"SIDECAR_DATABASE_NAME": "of the environment", "SIDECAR_DATABASE_PGPORT": "7"}
    found = read_postgres_parameters(Given(variables, {}, default_file=tmp_path / "pgparams.yaml"), {})
    (only,) = found.databases
    assert (only.name, only.port) == ("of the file", 7)


@pytest.mark.parametrize("given", ["conf/pgparams.yaml", "pgparams.yaml", "pgparams.yaml\n", "./pgparams.yaml"])
def test_a_file_may_be_named_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    (tmp_path / "conf").mkdir()
    for folder in (tmp_path, tmp_path / "conf"):
        (folder / "pgparams.yaml").write_text("database: {name: x}\n")
    monkeypatch.chdir(tmp_path)
    assert _read({"SIDECAR_CONFIG": given}).databases[0].name == "x"


def test_the_case_of_keys_in_yaml_does_not_matter(tmp_path: Path) -> None:
    text = SECOND_GENERATION.format(coord=tmp_path / "coord")
    plain = _read({"SIDECAR_CONFIG": text})
    shouted = "\n".join(
        f"{key.upper() if at % 2 else key.lower()}:{value}"
        for at, (key, _, value) in enumerate(line.partition(":") for line in text.strip().splitlines())
    )
    found = _read({"SIDECAR_CONFIG": shouted})
    assert (found.databases, found.behaviour) == (plain.databases, plain.behaviour)
    assert _claimed(found, tmp_path / "coord") == ["db1"]


@pytest.mark.parametrize("key", ["destMessage", "destLabel", "destBundleID"])
@pytest.mark.parametrize("form", ["yaml", "environment"])
def test_without_a_repo_nothing_is_saved_whatever_else_datamons_forms_say(key: str, form: str) -> None:
    variables = {
        "yaml": {"SIDECAR_CONFIG": f"database: {{{key}: x}}\n"},
        "environment": {f"SIDECAR_DATABASE_{key.upper()}": "x"},
    }
    assert _read(variables[form]).databases[0].upload is None


@pytest.mark.parametrize(
    ("variables", "flags", "stays_for"),
    [
        ({"SIDECAR_CONFIG": "globalOpts: {sleepInsteadOfExit: true}\n"}, {}, 600),
        ({"SIDECAR_GLOBALOPTS_SLEEPINSTEADOFEXIT": "true"}, {}, 600),
        ({"SIDECAR_CONFIG": "globalOpts: {sleepInsteadOfExit: true, sleepTimeout: 5}\n"}, {}, 5),
        ({}, {"sleepInsteadOfExit": "true"}, 0),
        ({"dm_pg_opts": ";:S", "dm_pg_db_a": ";:p:1;r:r;m:m"}, {}, 0),
    ],
)
def test_datamons_second_generation_stays_for_ten_minutes(
    variables: dict[str, str], flags: dict[str, str], stays_for: float
) -> None:
    behaviour = read_postgres_parameters(Given(variables, flags), {}).behaviour
    assert (behaviour.stays, behaviour.stay_s) == (True, stays_for)


def test_the_labels_of_datamons_guide_have_spaces() -> None:
    yaml = "database: {srcRepo: r, srcLabel: my desired point, destRepo: r, destMessage: m, destLabel: write only example}\n"
    (only,) = _read({"SIDECAR_CONFIG": yaml}).databases
    assert only.source[-2:] == ("--label", "my-desired-point")
    assert only.upload is not None
    assert only.upload.words[-2:] == ("--label", "write-only-example")


def test_the_coordination_folder_has_the_variable_of_datamons_guide_too(tmp_path: Path) -> None:
    guide = {"SIDECAR_GLOBALOPTS_COORD_POINT": str(tmp_path / "guide")}
    assert _claimed(_read(guide), tmp_path) == ["guide/db"]
    script = {**guide, "SIDECAR_GLOBALOPTS_COORDPOINT": str(tmp_path / "script")}
    assert "script/db" in _claimed(_read(script), tmp_path)
