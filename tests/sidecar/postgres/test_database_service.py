"""A database from its start to its upload, with PostgreSQL's programs played by scripts."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.sidecar.conftest import wait_for
from tests.sidecar.postgres.conftest import FAKES, FakePostgres

from sheaf.errors import InvalidInput, NotFound, Refused, SheafError, Unavailable
from sheaf.sidecar.children import Account, Children
from sheaf.sidecar.command_lines import UploadCommand
from sheaf.sidecar.postgres import dump
from sheaf.sidecar.postgres.archive import unpack
from sheaf.sidecar.postgres.data_directory import ensure_without_tablespaces, write_owned
from sheaf.sidecar.postgres.database_parameters import Database
from sheaf.sidecar.postgres.postgres_sidecar import PostgresSidecar
from sheaf.sidecar.postgres.programs import find_programs


@pytest.fixture
def children() -> Iterator[Children]:
    made = Children({"PATH": "/usr/bin:/bin"}, print)
    yield made
    made.stop(10)


def _database(tmp_path: Path, name: str = "db", repo: str = "r", **others: Any) -> Database:
    words = ("bundle", "upload", "--path", str(tmp_path / "data" / name), "--message", "m", "--repo", repo)
    found = Database(name, tmp_path / "data", 5432, "postgres", upload=UploadCommand(words, repo))
    return replace(found, **others)


class _World:
    def __init__(self, tmp_path: Path, installation: FakePostgres, children: Children, *databases: Database) -> None:
        self.said: list[str] = []
        self.sidecar = PostgresSidecar(databases, installation, children, self.said.append)
        self._home = tmp_path
        self._children = children

    def start(self) -> None:
        while not self.sidecar.is_ready():
            self._children.wait(0.05)

    def save(self, *, is_unfinished: bool = False) -> None:
        self.sidecar.save(is_unfinished=is_unfinished)
        while not self.sidecar.is_saved():
            self._children.wait(0.05)

    def end(self) -> None:
        self.sidecar.stop()

    @property
    def calls(self) -> list[str]:
        return (self._home / "calls").read_text().splitlines()

    @property
    def ran(self) -> list[str]:
        return [line.split()[0] for line in (self._home / "ran").read_text().splitlines()]


Make = Callable[..., _World]


@pytest.fixture
def world(tmp_path: Path, installation: FakePostgres, children: Children) -> Iterator[Make]:
    made: list[_World] = []

    def make(*databases: Database, **changes: Any) -> _World:
        made.append(_World(tmp_path, replace(installation, **changes), children, *databases))
        return made[-1]

    yield make
    for each in made:
        each.end()


def _source(tmp_path: Path, version: str = "15", form: str = "raw") -> None:
    """A bundle as it was uploaded by Datamon, without empty folders."""
    folder = tmp_path / "source"
    (folder / ("global" if form == "raw" else "databases/template1")).mkdir(parents=True)
    if form == "raw":
        (folder / "global/pg_control").write_text("shut down\n")
        (folder / "postmaster.pid").write_text("1\n")
    else:
        (folder / "roles.sql").write_text("CREATE ROLE postgres;\nCREATE ROLE bob;\n")
        (folder / "databases/app").mkdir()
    (folder / "PG_VERSION").write_text(f"{version}\n")


SOURCED: dict[str, Any] = {"source": ("--repo", "s", "--label", "l")}


def test_a_blank_database_is_stopped_before_it_is_uploaded(tmp_path: Path, world: Make) -> None:
    it = world(_database(tmp_path))
    it.start()
    state = tmp_path / "data/db/global/pg_control"
    assert state.read_text() == "in production\n"
    it.save()
    assert state.read_text() == "shut down\n"
    assert it.calls[-1].startswith("bundle upload --path")
    assert it.sidecar.bundles == ["id1"]


def test_a_wrong_upload_is_found_before_the_database_is_served(tmp_path: Path, world: Make) -> None:
    it = world(_database(tmp_path))
    it.start()
    assert [call.partition(" --")[0] for call in it.calls] == ["bundle upload", "repo get"]
    assert " --help " in it.calls[0]


def test_files_of_a_bundle_become_a_data_directory(tmp_path: Path, world: Make) -> None:
    _source(tmp_path)
    it = world(_database(tmp_path, **SOURCED))
    it.start()
    data = tmp_path / "data/db"
    assert (data / "pg_wal/archive_status").is_dir()
    assert (data / "pg_notify").is_dir()
    assert data.stat().st_mode & 0o777 == 0o700
    assert not (data / "postmaster.pid").exists()
    assert not (tmp_path / "data/db.source").exists()
    assert "initdb" not in it.ran


@pytest.mark.parametrize(("form", "version"), [("raw", "14"), ("raw", "16"), ("dump", "16"), ("raw", "9")])
def test_another_version_is_refused_or_starts_blank(tmp_path: Path, world: Make, form: str, version: str) -> None:
    _source(tmp_path, version, form)
    it = world(_database(tmp_path, **SOURCED))
    with pytest.raises(Refused, match=rf"it is of PostgreSQL {version}, and the server here is 15"):
        it.start()
    shutil.rmtree(tmp_path / "data")
    it = world(_database(tmp_path, **SOURCED), ignores_version=True)
    it.start()
    assert it.ran.count("initdb") == 1
    assert it.said == [
        f"sidecar: database db: it is of PostgreSQL {version}, and the server here is 15; it starts blank"
    ]
    assert not (tmp_path / "data/db.source").exists()


def test_an_older_dump_is_restored_before_the_server_answers(tmp_path: Path, world: Make) -> None:
    _source(tmp_path, "12", "dump")
    it = world(_database(tmp_path, **SOURCED))
    it.start()
    steps = [name for name in it.ran if name != "pg_isready"]
    restored = ["psql", "psql", "psql", "pg_restore", "pg_restore", "psql", "vacuumdb"]
    assert steps[1:] == ["initdb", "postgres", *restored, "postgres"]  # after the question for the version
    assert not (tmp_path / "data/db.source").exists()
    it.save()
    assert "pg_dump" not in it.ran


def test_a_dump_has_the_version_the_roles_and_each_database(tmp_path: Path, world: Make) -> None:
    it = world(_database(tmp_path, saves_dump=True))
    it.start()
    it.save()
    dump = tmp_path / "data/db.dump"
    found = {str(path.relative_to(dump)) for path in dump.rglob("*") if path.is_file()}
    assert found == {"PG_VERSION", "roles.sql", "databases/app/toc.dat", "databases/template1/toc.dat"}
    assert (dump / "PG_VERSION").read_text() == "15\n"


def test_a_vacuum_that_fails_does_not_keep_data_files_from_being_saved(
    tmp_path: Path, world: Make, installation: FakePostgres
) -> None:
    assert installation.bin_dir is not None
    (installation.bin_dir / "vacuumdb").write_text("#!/bin/sh\necho 'error: role \"x\" does not exist' >&2\nexit 1\n")
    it = world(_database(tmp_path))
    it.start()
    it.save()
    assert it.sidecar.bundles == ["id1"]
    assert (tmp_path / "data/db/global/pg_control").read_text() == "shut down\n"
    assert it.said == [
        'sidecar: vacuumdb of postgres db: role "x" does not exist (exit code 1); a later snapshot may cost more'
    ]


def test_what_is_not_a_database_is_refused(tmp_path: Path, world: Make) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/labels.csv").write_text("x")
    with pytest.raises(InvalidInput, match="the bundle is not a database"):
        world(_database(tmp_path, **SOURCED)).start()


def test_a_used_data_directory_is_refused(tmp_path: Path, world: Make) -> None:
    (tmp_path / "data/db").mkdir(parents=True)
    (tmp_path / "data/db/PG_VERSION").write_text("15")
    with pytest.raises(Refused, match="data/db: it is not empty"):
        world(_database(tmp_path)).start()
    assert (tmp_path / "data/db/PG_VERSION").read_text() == "15"


def test_a_server_that_does_not_start_says_why(tmp_path: Path, world: Make) -> None:
    _source(tmp_path)
    (tmp_path / "source/broken").write_text("")
    with pytest.raises(Unavailable, match="postgres db: the server has ended: it is broken"):
        world(_database(tmp_path, **SOURCED)).start()


def _kill(it: _World) -> None:
    (service,) = it.sidecar._services
    assert service._server is not None
    up = service._server.scratch / "up"
    os.kill(int(up.read_text()), signal.SIGKILL)
    up.unlink()  # a real server's socket refuses connections now


def test_a_server_that_is_killed_is_noticed_and_recovers_before_it_is_saved(tmp_path: Path, world: Make) -> None:
    it = world(_database(tmp_path))
    it.start()
    _kill(it)

    def is_noticed() -> bool:
        try:
            it.sidecar.watch()
        except Unavailable as error:
            return "the server has ended: killed by signal 9" in error.message
        return False

    wait_for(is_noticed, "the end of the server")
    it.save(is_unfinished=True)
    assert (tmp_path / "data/db/global/pg_control").read_text() == "shut down\n"
    assert "--branch unfinished" in it.calls[-1]


def test_a_server_that_is_killed_as_the_application_ends_gets_no_label(tmp_path: Path, world: Make) -> None:
    words = ("bundle", "upload", "--path", str(tmp_path / "data/db"), "--message", "m", "--repo", "r", "--label", "l")
    it = world(_database(tmp_path, upload=UploadCommand(words, "r")))
    it.start()
    _kill(it)
    with pytest.raises(Unavailable, match="postgres db: it was not shut down cleanly, so the label was not set"):
        it.save()
    assert it.sidecar.bundles == ["id1"]
    assert "--branch unfinished" in it.calls[-1]
    assert "--label" not in it.calls[-1]


def test_a_server_that_ends_without_an_error_does_not_blame_a_client(
    tmp_path: Path, world: Make, installation: FakePostgres
) -> None:
    assert installation.bin_dir is not None
    server = installation.bin_dir / "postgres"
    server.write_text(server.read_text().replace("trap ", "echo 'FATAL:  no such database' >&2\ntrap "))
    it = world(_database(tmp_path))
    it.start()
    _kill(it)
    (service,) = it.sidecar._services
    assert service._server is not None and service._server._process is not None
    service._server._process.process.wait()
    with pytest.raises(Unavailable, match="the server has ended: killed by signal 9"):
        it.sidecar.watch()


def test_a_vacuum_that_ends_the_server_does_not_keep_data_files_from_being_saved(
    tmp_path: Path, world: Make, installation: FakePostgres
) -> None:
    assert installation.bin_dir is not None
    kill = 'while [ "$1" != -h ]; do shift; done; kill -9 "$(cat "$2/up")"; rm "$2/up"; exit 1'
    (installation.bin_dir / "vacuumdb").write_text(f"#!/bin/sh\n{kill}\n")
    it = world(_database(tmp_path))
    it.start()
    it.save()
    assert it.sidecar.bundles == ["id1"]
    assert (tmp_path / "data/db/global/pg_control").read_text() == "shut down\n"


def test_a_full_disk_does_not_keep_other_databases_from_being_saved(
    tmp_path: Path, world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = _database(tmp_path, "one", saves_dump=True)
    it = world(full, _database(tmp_path, "two"))
    it.start()

    def fill(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(dump, "write_owned", fill)
    with pytest.raises(Unavailable, match="No space left on device"):
        it.save()
    assert len(it.sidecar.bundles) == 1


def test_the_reason_of_a_failure_is_its_error_and_not_a_detail(
    tmp_path: Path, world: Make, installation: FakePostgres
) -> None:
    assert installation.bin_dir is not None
    said = "pg_dump: error: it is broken\nDETAIL:  more\nCommand was: ALTER ROLE x PASSWORD secret\n\n"
    (installation.bin_dir / "pg_dump").write_text(f"#!/bin/sh\ncat >&2 <<E\n{said}E\nexit 1\n")
    it = world(_database(tmp_path, saves_dump=True))
    it.start()
    with pytest.raises(Unavailable, match=r"pg_dump of postgres db: pg_dump: error: it is broken \(exit code 1\)"):
        it.save()


def test_a_database_that_can_not_be_saved_does_not_keep_others_from_being_saved(tmp_path: Path, world: Make) -> None:
    it = world(_database(tmp_path, "one", "bad"), _database(tmp_path, "two"))
    with pytest.raises(SheafError, match="no access"):
        it.start()
        it.save()
    assert len(it.sidecar.bundles) == 1


def test_one_that_is_not_saved_is_stopped_all_the_same(tmp_path: Path, world: Make) -> None:
    it = world(_database(tmp_path, upload=None))
    it.start()
    it.save()
    assert not (tmp_path / "calls").exists()
    assert (tmp_path / "data/db/global/pg_control").read_text() == "shut down\n"


def test_a_tablespace_is_refused_since_its_files_are_elsewhere(tmp_path: Path, world: Make) -> None:
    it = world(_database(tmp_path))
    it.start()
    (tmp_path / "data/db/pg_tblspc/16384").symlink_to(tmp_path)
    with pytest.raises(Refused, match="it has tablespaces"):
        it.save()
    (tmp_path / "data/db/pg_tblspc/16384").unlink()
    ensure_without_tablespaces(tmp_path / "data/db")


def test_programs_are_found_in_a_folder_that_has_all_of_them(tmp_path: Path, installation: FakePostgres) -> None:
    assert installation.bin_dir is not None
    found = find_programs(None, {"PATH": str(installation.bin_dir)}, 15)
    assert (found.major, found["psql"]) == (15, str(installation.bin_dir / "psql"))
    assert find_programs(installation.bin_dir, {}) == found
    (installation.bin_dir / "psql").unlink()
    with pytest.raises(NotFound, match="does not contain all programs of PostgreSQL"):
        find_programs(installation.bin_dir, {})


def _archive(tmp_path: Path, version: str = "15.2", prefix: str = "", **members: str) -> None:
    """A bundle of Datamon's first generation; ``members``: symbolic links by name."""
    folder = tmp_path / "source"
    (folder / "meta").mkdir(parents=True)
    (folder / "meta/pg_version").write_text(f"{version}\n")
    (folder / "data").mkdir()
    with tarfile.open(folder / "data/backup.tar.gz", "w") as tar:  # a plain tar file despite its name
        for name, text in (("global/pg_control", "in production\n"), ("PG_VERSION", "15\n"), ("base/1/1", "rows")):
            member = tarfile.TarInfo(f"{prefix}{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
        for name, target in members.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)


@pytest.mark.parametrize("prefix", ["", "./", "db1/"])
def test_a_tar_file_of_datamons_first_generation_becomes_a_data_directory(
    tmp_path: Path, world: Make, prefix: str
) -> None:
    _archive(tmp_path, prefix=prefix)
    it = world(_database(tmp_path, **SOURCED))
    it.start()
    data = tmp_path / "data/db"
    assert (data / "base/1/1").read_text() == "rows"
    assert (data / "pg_notify").is_dir()
    assert not (tmp_path / "data/db.source").exists()
    assert "initdb" not in it.ran


def test_a_tar_file_of_another_version_is_refused(tmp_path: Path, world: Make) -> None:
    _archive(tmp_path, "11.5")
    with pytest.raises(Refused, match="it is of PostgreSQL 11, and the server here is 15"):
        world(_database(tmp_path, **SOURCED)).start()


def test_a_tar_file_that_leads_elsewhere_is_refused(tmp_path: Path, world: Make) -> None:
    _archive(tmp_path, pg_wal=str(tmp_path))
    with pytest.raises(Unavailable, match="'pg_wal' is neither a file nor a folder"):
        world(_database(tmp_path, **SOURCED)).start()


@pytest.mark.parametrize("name", ["../outside", "/tmp/../outside", "a/../../outside"])
def test_a_tar_file_that_names_a_file_outside_is_refused(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(InvalidInput, match="is outside of its folder"):
        unpack(tmp_path / "x.tar", tmp_path / "new")
    assert not (tmp_path / "outside").exists()


def test_a_file_that_is_not_a_tar_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("not one")
    with pytest.raises(InvalidInput, match=r"x\.tar: it can't be unpacked"):
        unpack(tmp_path / "x.tar", tmp_path / "new")


@pytest.mark.parametrize("name", ["PG_VERSION", "global", "pg_logical", "pg_wal", "base/1/1", "postmaster.pid"])
def test_a_link_in_a_bundle_makes_nothing_outside_be_read_written_or_removed(
    tmp_path: Path, world: Make, name: str
) -> None:
    _source(tmp_path)
    (tmp_path / "source/base/1").mkdir(parents=True)
    outside = tmp_path / "outside"
    (outside / "kept").mkdir(parents=True)
    (outside / "kept/file").write_text("15\n")
    before = sorted((str(path), path.stat().st_mtime_ns, path.stat().st_uid) for path in outside.rglob("*"))
    place = tmp_path / "source" / name
    is_folder = name in ("global", "pg_logical", "pg_wal")
    if place.is_dir():
        shutil.move(place, outside / "moved")
        before = sorted((str(path), path.stat().st_mtime_ns, path.stat().st_uid) for path in outside.rglob("*"))
        place.symlink_to(outside / "moved")
    else:
        place.unlink(missing_ok=True)
        place.symlink_to(outside / ("kept" if is_folder else "kept/file"))
    it = world(_database(tmp_path, **SOURCED))
    with pytest.raises(Refused, match=f"{name}: a database must not contain symbolic links"):
        it.start()
    it.end()
    assert before == sorted((str(path), path.stat().st_mtime_ns, path.stat().st_uid) for path in outside.rglob("*"))


def test_a_link_in_a_dump_is_refused_too(tmp_path: Path, world: Make) -> None:
    _source(tmp_path, form="dump")
    (tmp_path / "source/roles.sql").unlink()
    (tmp_path / "source/roles.sql").symlink_to("/etc/passwd")
    with pytest.raises(Refused, match=r"roles\.sql: a database must not contain symbolic links"):
        world(_database(tmp_path, **SOURCED)).start()


def test_tablespaces_in_a_bundle_are_refused_by_name(tmp_path: Path, world: Make) -> None:
    _source(tmp_path)
    (tmp_path / "source/pg_tblspc").mkdir()
    (tmp_path / "source/pg_tblspc/16384").symlink_to(tmp_path)
    with pytest.raises(Refused, match="it has tablespaces"):
        world(_database(tmp_path, **SOURCED)).start()


def test_a_tablespace_is_noticed_when_it_is_created(tmp_path: Path, world: Make) -> None:
    it = world(_database(tmp_path))
    it.start()
    it.sidecar.watch()
    (tmp_path / "data/db/pg_tblspc/16384").symlink_to(tmp_path)
    with pytest.raises(Refused, match="it has tablespaces"):
        it.sidecar.watch()


@pytest.mark.parametrize("others", [{"saves_dump": True}, {"upload": None}], ids=["dump", "not saved"])
def test_a_tablespace_is_no_problem_for_a_dump_or_if_nothing_is_saved(
    tmp_path: Path, world: Make, others: dict[str, Any]
) -> None:
    it = world(_database(tmp_path, **others))
    it.start()
    (tmp_path / "data/db/pg_tblspc/16384").symlink_to(tmp_path)
    it.sidecar.watch()


def test_a_vacuum_that_empties_unlogged_tables_keeps_the_label_from_being_set(
    tmp_path: Path, world: Make, installation: FakePostgres
) -> None:
    assert installation.bin_dir is not None
    kill = 'while [ "$1" != -h ]; do shift; done; kill -9 "$(cat "$2/up")"; rm "$2/up"; exit 1'
    (installation.bin_dir / "vacuumdb").write_text(f"#!/bin/sh\n{kill}\n")
    it = world(_database(tmp_path))
    it.start()
    (tmp_path / "data/db/base/5").mkdir(parents=True)
    (tmp_path / "data/db/base/5/16384_init").touch()
    with pytest.raises(Unavailable, match="it was not shut down cleanly, so the label was not set"):
        it.save()
    assert "--branch unfinished" in it.calls[-1]


def test_only_the_private_server_archives_and_replicates_nothing_and_quotes_no_statements(
    tmp_path: Path, world: Make
) -> None:
    it = world(_database(tmp_path, saves_dump=True))
    it.start()
    it.save()
    servers = [line for line in (tmp_path / "ran").read_text().splitlines() if line.startswith("postgres -D")]
    private, served, saved = servers
    for each in (private, saved):
        for setting in ("archive_mode=off", "max_logical_replication_workers=0", "log_min_error_statement=panic"):
            assert f"-c {setting}" in each
    assert "archive_mode" not in served


def test_statements_of_a_failed_restore_are_not_in_the_log(
    tmp_path: Path, world: Make, installation: FakePostgres, capfd: pytest.CaptureFixture[str]
) -> None:
    assert installation.bin_dir is not None
    said = "pg_restore: error: it is broken\nCommand was: CREATE USER MAPPING (password 'secret')\n"
    (installation.bin_dir / "pg_restore").write_text(f"#!/bin/sh\ncat >&2 <<E\n{said}E\nexit 1\n")
    _source(tmp_path, "12", "dump")
    it = world(_database(tmp_path, **SOURCED))
    with pytest.raises(Unavailable, match=r"pg_restore of postgres db: pg_restore: error: it is broken"):
        it.start()
    it.end()
    assert "secret" not in capfd.readouterr().out


def _name(installation: FakePostgres, listed: str) -> None:
    """Let the server have a database of this name."""
    assert installation.bin_dir is not None
    psql = FAKES["psql"].replace("uapp\\0", f"{listed}\\0")
    assert psql != FAKES["psql"]
    (installation.bin_dir / "psql").write_text(f"#!/bin/sh\n{psql}\n")


def test_names_are_the_bytes_that_the_server_has(tmp_path: Path, world: Make, installation: FakePostgres) -> None:
    _name(installation, "ocaf\\351")
    it = world(_database(tmp_path, saves_dump=True))
    it.start()
    it.save()
    assert (tmp_path / "data/db.dump/databases/caf%E9/toc.dat").exists()
    assert b"dbname='caf\xe9'" in (tmp_path / "ran").read_bytes()


def test_a_name_with_which_no_dump_can_be_restored_is_refused(
    tmp_path: Path, world: Make, installation: FakePostgres
) -> None:
    _name(installation, "ucaf\\351")
    it = world(_database(tmp_path, saves_dump=True))
    it.start()
    with pytest.raises(Refused, match=r"database caf\\xe9: its name is not UTF-8"):
        it.save()
    assert it.sidecar.bundles == []


@pytest.mark.parametrize("owner", ["postgres", "dbuser"])
def test_a_blank_database_has_the_owner_and_postgres_as_superusers(tmp_path: Path, world: Make, owner: str) -> None:
    it = world(_database(tmp_path, owner=owner))
    it.start()
    created = [line for line in (tmp_path / "ran").read_text().splitlines() if "CREATE ROLE postgres SUPERUSER" in line]
    assert len(created) == (owner != "postgres")


def test_a_database_that_will_not_be_saved_is_said(tmp_path: Path, world: Make) -> None:
    it = world(_database(tmp_path, upload=None))
    it.start()
    assert it.said == ["sidecar: database db: it will not be saved, since no repo is given"]


def test_a_link_where_a_file_is_written_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    write_owned(tmp_path / "link", b"new", Account(None, None, {}))
    assert ((tmp_path / "kept").read_text(), (tmp_path / "link").read_text()) == ("kept", "new")


def test_a_server_that_ends_before_the_vacuum_does_not_keep_data_files_from_being_saved(
    tmp_path: Path, world: Make
) -> None:
    it = world(_database(tmp_path))
    it.start()
    (tmp_path / "data/db/broken").touch()  # no other server can start there
    it.save()
    assert it.sidecar.bundles == ["id1"]
    assert it.said == ["sidecar: postgres db: the server has ended: it is broken; a later snapshot may cost more"]
