"""A real PostgreSQL server: what an application writes is there for the next one, in both forms."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tarfile
from pathlib import Path

import pytest
from tests.sidecar.conftest import wait_for
from tests.sidecar.postgres.conftest import PostgresPod, free_port

import sheaf

pytestmark = pytest.mark.parts

CREATE = """
create role bob login password 'secret'; create database \\"o.d/d '\\";
create table t as select i as id, md5(i::text) as a from generate_series(1, 1000) i; alter table t owner to bob;
create table empty (id int); alter database postgres set work_mem = '5MB';
"""
ASK = "select count(*), max(id) from t; select tableowner from pg_tables where tablename = 't'; show work_mem;"
ASK_MORE = "select datname from pg_database where datname like 'o%'; select count(*) from empty"


def _saves(form: str = "raw", label: str = "one") -> list[str]:
    return ["--repo", "dbs", "--message", f"m {label}", "--label", label, "--form", form]


def _sql(text: str) -> str:
    return " ".join(f"-c {chr(34)}{each.strip()}{chr(34)}" for each in text.split(";") if each.strip())


def _serve(postgres: PostgresPod, sql: str, *options: str, coord: str) -> list[str]:
    sidecar = postgres.sidecar(*options, coord=coord)
    application = postgres.script(f"{postgres.psql} {_sql(sql)}", coord=coord)
    assert (application.end(), sidecar.end()) == (0, 0), application.err + sidecar.err
    return application.out.splitlines()[:-1]  # the last is the wrapper's


@pytest.mark.parametrize("form", ["raw", "dump"])
def test_what_an_application_has_written_is_there_for_the_next_one(postgres: PostgresPod, form: str) -> None:
    ids = postgres.pod.home / "id"
    _serve(postgres, CREATE, *_saves(form), "-i", str(ids), coord="first")
    bundle = postgres.store.repo("dbs").bundle("label:one")
    assert ids.read_text().strip() == bundle.id
    assert bundle.read("PG_VERSION").strip().isdigit()
    other = "dump" if form == "raw" else "raw"
    saved = [*_saves(other, "two"), "--source-repo", "dbs", "--source-label", "one"]
    expected = ["1000|1000", "bob", "5MB", "o.d/d '", "0"]
    assert _serve(postgres, f"{ASK} {ASK_MORE}", *saved, coord="second") == expected
    again = ["--source-repo", "dbs", "--source-bundle", postgres.store.repo("dbs").bundle("label:two").id]
    assert _serve(postgres, f"{ASK} {ASK_MORE}", *again, coord="third") == expected
    assert postgres.store.check().ok


def test_data_files_are_saved_of_a_server_that_was_shut_down_with_its_empty_folders(postgres: PostgresPod) -> None:
    _serve(postgres, CREATE, *_saves(), coord="first")
    folder = postgres.data / "downloaded"
    postgres.store.repo("dbs").bundle("label:one").download(folder)
    assert postgres.state(folder) == "shut down"
    assert not (folder / "postmaster.pid").exists()
    assert (folder / "pg_notify").is_dir()
    assert sum(path.is_file() for path in (folder / "pg_wal").iterdir()) == 1, "recycled segments"
    assert not list(postgres.data.glob("sheaf-pg-*")), "folders of sockets"


def test_a_table_that_was_only_read_is_not_stored_again(postgres: PostgresPod) -> None:
    ask = "select pg_relation_filepath('t'); select count(*) from t; vacuum freeze t"
    path, *_ = _serve(postgres, f"{CREATE} {ask.rpartition(';')[0]}", *_saves(), coord="first")
    saved = [*_saves(label="two"), "--source-repo", "dbs", "--source-label", "one"]
    assert _serve(postgres, ask, *saved, coord="second")[0] == path
    one, two = (postgres.store.repo("dbs").bundle(f"label:{label}") for label in ("one", "two"))
    assert one.read(path) == two.read(path)


def test_the_server_has_no_credentials_of_the_store(postgres: PostgresPod) -> None:
    postgres.pod.variables["AWS_SECRET_ACCESS_KEY"] = "do-not-tell"
    asked = "create table e (line text); copy e from program 'env'; select * from e"
    printed = _serve(postgres, asked, "--source-repo", "", "--name", "db", coord="first")
    assert any(line.startswith("PATH=") for line in printed)
    assert "do-not-tell" not in "".join(printed)


def test_several_databases_have_ports_and_coordination_folders_of_their_own(postgres: PostgresPod) -> None:
    ports = [postgres.port, free_port()]
    databases = [
        f"- {{name: db{at}, dataDir: {postgres.data}, pgPort: {port}, destRepo: dbs, destMessage: m{at}, destLabel: l{at}}}\n"
        for at, port in enumerate(ports)
    ]
    coord = postgres.pod.home / "coord"
    text = f"globalOpts: {{coordPoint: {coord}, pollInterval: 0.1}}\ndatabases:\n{''.join(databases)}"
    postgres.pod.variables["SIDECAR_CONFIG"] = text
    scripts = Path(sheaf.__file__).parent / "sidecar/shell"
    sidecar = postgres.pod.start("sh", scripts / "wrap_datamon_pg.sh")
    clients = [postgres.psql.replace(str(ports[0]), str(port)) for port in ports]
    program = " && ".join(f"{client} -c 'create table t{at} ()'" for at, client in enumerate(clients))
    application = postgres.pod.application("-b", "postgres", "-d", "db0 db1", "--", "sh", "-c", program)
    assert (application.end(), sidecar.end()) == (0, 0), application.err + sidecar.err
    assert [(coord / f"db{at}" / "dbuploaddone").exists() for at in (0, 1)] == [True, True]
    assert [postgres.store.repo("dbs").bundle(f"label:l{at}").message for at in (0, 1)] == ["m0", "m1"]


def test_the_first_generation_runs_verbatim(postgres: PostgresPod) -> None:
    coord = postgres.pod.home / "coord"
    postgres.pod.variables |= {
        "dm_pg_opts": f";:c:{coord};V:false;S:false",
        "dm_pg_db_db1": f";:p:{postgres.port};m:postgres coordination;r:dbs;l:my-label",
        "SIDECAR_GLOBALOPTS_POLLINTERVAL": "0.1",
        "SIDECAR_DATABASE_DATADIR": str(postgres.data),
    }
    sidecar = postgres.pod.start("sh", Path(sheaf.__file__).parent / "sidecar/shell/wrap_datamon_pg.sh")
    application = postgres.pod.application("-b", "postgres", "--", "sh", "-c", f"{postgres.psql} -c 'select 1'")
    assert (application.end(), sidecar.end()) == (0, 0), application.err + sidecar.err
    assert postgres.store.repo("dbs").bundle("label:my-label").message == "postgres coordination"


@pytest.mark.parametrize("form", ["raw", "dump"])
def test_a_killed_server_recovers_what_was_committed(postgres: PostgresPod, form: str) -> None:
    sidecar = postgres.sidecar(*_saves(form), "--save-unfinished")
    client = f"{postgres.psql} -c 'create table t as select 7 as id'"
    application = postgres.script(f"{client} && touch running && while :; do sleep 0.05; done")
    wait_for((postgres.pod.home / "running").exists, "the first rows")
    server = int((postgres.data / "coord/db/postmaster.pid").read_text().split()[0])
    os.kill(server, signal.SIGKILL)
    assert (application.end(), sidecar.end()) == (125, 8), sidecar.err
    assert "postgres db: the server has ended: " in application.err
    saved = postgres.store.repo("dbs").bundle("branch:unfinished")
    assert saved.id in (postgres.pod.home / "coord/db/postgres-failed").read_text()
    source = ["--source-repo", "dbs", "--source-bundle", saved.id]
    assert _serve(postgres, "select id from t", *source, coord="next") == ["7"]


def test_a_role_that_can_not_dump_is_said_before_the_application_starts(postgres: PostgresPod) -> None:
    _serve(postgres, "select 1", *_saves(), coord="first")
    source = ["--source-repo", "dbs", "--source-label", "one", "--owner", "alice"]
    sidecar = postgres.sidecar(*_saves("dump", "two"), *source)
    application = postgres.application("select 1")
    assert (sidecar.end(), application.end()) == (8, 125)
    assert 'role "alice" does not exist' in application.err


def test_a_dump_has_databases_of_all_settings_and_what_was_in_tablespaces(postgres: PostgresPod) -> None:
    place = postgres.data / "tablespace"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    if os.geteuid() == 0:
        shutil.chown(place, "postgres")
    create = f"""
        create tablespace ts location '{place}'; create table t tablespace ts as select 1 as id;
        create database there tablespace ts; create database closed allow_connections false;
        create database fixed
    """
    fix = "create table f as select 2 as id; alter database fixed set default_transaction_read_only = on; "
    fill = f"{postgres.psql} -d fixed {_sql(fix)}"
    sidecar = postgres.sidecar(*_saves("dump"), coord="first")
    application = postgres.script(f"{postgres.psql} {_sql(create)} && {fill}", coord="first")
    assert (application.end(), sidecar.end()) == (0, 0), application.err + sidecar.err
    source = ["--source-repo", "dbs", "--source-label", "one"]
    asked = "select id from t; select datname from pg_database where datname < 'p' order by 1"
    assert _serve(postgres, asked, *source, coord="second") == ["1", "closed", "fixed"]
    assert _serve(postgres, "select datname from pg_database where datname = 'there'", *source, coord="third") == [
        "there"
    ]


def test_a_port_in_use_is_said_before_the_application_starts(postgres: PostgresPod) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", postgres.port))
        taken.listen()
        sidecar = postgres.sidecar(*_saves())
        assert sidecar.end() == 8
    assert f"error: postgres db: port {postgres.port} of 127.0.0.1 is in use" in sidecar.err


def test_a_dump_has_names_and_rows_of_all_encodings(postgres: PostgresPod) -> None:
    """A name is stored as the bytes of the encoding of the database in which it was created."""
    latin = "create database latin template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'"
    inside = (
        "set client_encoding = 'UTF8'; create role \\\"rôle\\\" login",
        "set client_encoding = 'UTF8'; create database \\\"née en latin\\\" "
        "template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' owner \\\"rôle\\\"",
        "set client_encoding = 'UTF8'; create table t as select 'né'::text as a; comment on table t is 'clé'",
        "set client_encoding = 'UTF8'; alter table t owner to \\\"rôle\\\"",
    )
    outside = "create database \\\"élan\\\" template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'"
    filled = "set client_encoding = 'UTF8'; create table u as select 'été'::text as a"

    def client(database: str, *statements: str) -> str:
        words = " ".join(f'-c "{each}"' for text in statements for each in text.split("; "))
        return f'{postgres.psql} -d "{database}" {words}'

    steps = [client("postgres", latin, outside), client("latin", *inside), client("élan", filled)]
    sidecar = postgres.sidecar(*_saves("dump"), coord="first")
    application = postgres.script(" && ".join(steps).replace("\\\\", "\\"), coord="first")
    assert (application.end(), sidecar.end()) == (0, 0), application.err + sidecar.err
    asked = [
        client("latin", "set client_encoding = 'UTF8'; select a, obj_description('t'::regclass) from t"),
        client("élan", "set client_encoding = 'UTF8'; select a from u"),
        client("latin", "set client_encoding = 'UTF8'; select datname from pg_database where datname like 'n%'"),
        client("latin", "set client_encoding = 'UTF8'; select tableowner from pg_tables where tablename = 't'"),
    ]
    source = ["--source-repo", "dbs", "--source-label", "one"]
    sidecar = postgres.sidecar(*source, *_saves("dump", "two"), coord="second")
    application = postgres.script(" && ".join(asked), coord="second")
    assert (application.end(), sidecar.end()) == (0, 0), application.err + sidecar.err
    assert application.out.splitlines()[:-1] == ["né|clé", "été", "née en latin", "rôle"]
    first, second = (postgres.store.repo("dbs").bundle(f"label:{label}") for label in ("one", "two"))
    assert [entry.path for entry in first.ls("databases")] == [entry.path for entry in second.ls("databases")]


def test_a_tablespace_ends_the_program_before_hours_of_work_are_lost(postgres: PostgresPod) -> None:
    place = postgres.data / "tablespace"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    if os.geteuid() == 0:
        shutil.chown(place, "postgres")
    sidecar = postgres.sidecar(*_saves())
    create = f"{postgres.psql} {_sql(f'create tablespace ts location {chr(39)}{place}{chr(39)}')}"
    application = postgres.script(f"{create}; while :; do sleep 0.1; done")
    assert (application.end(), sidecar.end()) == (125, 5), sidecar.err
    assert "it has tablespaces, whose files are elsewhere" in application.err


def test_a_blank_database_has_its_owner_and_postgres(postgres: PostgresPod) -> None:
    asked = "select rolname from pg_roles where rolsuper order by 1"
    assert _serve(postgres, asked, "--owner", "dbuser", coord="first") == ["dbuser", "postgres"]


def test_data_files_in_a_tar_file_of_datamon_are_restored(postgres: PostgresPod) -> None:
    _serve(postgres, CREATE, *_saves(), coord="first")
    repo = postgres.store.repo("dbs")
    raw, bundle = postgres.data / "raw", postgres.data / "bundle"
    repo.bundle("label:one").download(raw)
    for folder in ("meta", "data"):
        (bundle / folder).mkdir(parents=True)
    (bundle / "meta/pg_version").write_text(f"{(raw / 'PG_VERSION').read_text().strip()}.5\n")
    with tarfile.open(bundle / "data/backup.tar.gz", "w") as tar:
        tar.add(raw, ".")
    repo.upload(bundle, message="by Datamon", label="tar")
    source = ["--source-repo", "dbs", "--source-label", "tar"]
    assert _serve(postgres, ASK, *source, coord="second") == ["1000|1000", "bob", "5MB"]
