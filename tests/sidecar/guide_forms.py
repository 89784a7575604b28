"""Every form of Datamon's two guides for sidecars, and the test that runs it.

The forms of this module are run as they are by ``test_datamon_guides.py`` and ``postgres/test_datamon_databases.py``;
``/tmp``, ``/config``, ``/pg_stage`` and the ports are those of the test. ``ELSEWHERE`` names the tests of all others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["DATABASES", "ELSEWHERE", "FILES", "DatabaseForm", "FileForm", "here"]

_FOLDERS = ("/tmp/", "/config/", "/pg_stage")


def here(home: Path, text: str) -> str:
    """The text with the folders of the guides below the folder of a test."""
    for folder in _FOLDERS:
        text = text.replace(folder, f"{home}{folder}")
    return text


@dataclass(frozen=True)
class FileForm:
    """Arguments and variables of ``wrap_datamon.sh``. ``config``: the file that a ConfigMap puts into /config."""

    name: str
    arguments: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    config: str = ""
    id_file: str = ""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class DatabaseForm:
    """Variables of each ``wrap_datamon_pg.sh``. ``config``: its file /config/pgparams.yaml. ``saved``: messages by label."""

    name: str
    variables: tuple[dict[str, str], ...]
    configs: tuple[str, ...] = ()
    databases: str = ""
    ports: tuple[str, ...] = ()
    saved: dict[str, str] = field(default_factory=dict)
    users: tuple[str, ...] = ("postgres",)

    def __str__(self) -> str:
        return self.name


MESSAGE = "result of container coordination demo"
FUSE_YAML = """
globalOpts:
  coordPoint: /tmp/coord
  # The ones below are no longer used
  configBucketName: datamon-config-test-sdjfhga
  contextName: datamon-sidecar-test
bundles:
  - name: src
    # where the read-only data is
    srcPath: /tmp/mount
    srcRepo: ransom-datamon-test-repo
    srcLabel: testlabel
    srcBundle: ""
  - name: dest
    destPath: /tmp/upload
    destRepo: ransom-datamon-test-repo
    destMessage: result of container coordination demo
    destLabel: coordemo
    destBundleID: /tmp/bundleid.txt
"""

FILES = [
    FileForm(
        "arguments of the first generation",
        (
            *("-c", "/tmp/coord"),
            *("-d", "config create --name \"Coord\" --email 'coord-bot@example.org'"),
            *("-d", "bundle mount --repo ransom-datamon-test-repo --label testlabel --mount /tmp/mount --stream"),
            "-d",
            f'bundle upload --path /tmp/upload --message "{MESSAGE}" --repo ransom-datamon-test-repo --label coordemo',
            *("-i", "/tmp/bundleid.txt"),
        ),
        id_file="/tmp/bundleid.txt",
    ),
    FileForm(
        "dm_fuse_params names a file",
        variables={"dm_fuse_params": "/config/fuse-params.yaml"},
        config=FUSE_YAML,
        id_file="/tmp/bundleid.txt",
    ),
    FileForm(
        "dm_fuse_params names a file from the current folder",
        variables={"dm_fuse_params": "config/fuse-params.yaml"},
        config=FUSE_YAML,
        id_file="/tmp/bundleid.txt",
    ),
    FileForm("dm_fuse_params is YAML", variables={"dm_fuse_params": FUSE_YAML}, id_file="/tmp/bundleid.txt"),
    FileForm(
        "serialized options",
        variables={
            "dm_fuse_opts": "01c1/tmp/coord0S1false0b1config-bucket0a1dev".replace("0", ";").replace("1", ":"),
            "dm_fuse_bd_src": ";:sp:/tmp/mount;sr:ransom-datamon-test-repo;sl:testlabel",
            "dm_fuse_bd_dest": f"|=dp=/tmp/upload|dr=ransom-datamon-test-repo|dm={MESSAGE}|dl=coordemo|dif=/tmp/bundleid.txt",
        },
        id_file="/tmp/bundleid.txt",
    ),
]

WRITE_ONLY = """
globalOpts:
  coordPoint: /tmp/coord
database:
  name: db1
  pgPort: "5430"
  # a superuser next to "postgres"
  owner: dbuser
  destRepo: example-repo
  destMessage: postgres sidecar coordination example (write only)
  destLabel: write only example
"""
READ_WRITE = """
globalOpts:
  coordPoint: /tmp/coord
database:
  name: db2
  pgPort: "5429"
  srcRepo: example-repo
  srcLabel: my-desired-point-in-time
  destRepo: example-repo
  destMessage: postgres sidecar coordination example (read-write)
  destLabel: read-write example
"""
READ_ONLY = """
globalOpts:
  coordPoint: /tmp/coord
database:
  name: db3
  pgPort: "5428"
  srcRepo: example-repo
  srcLabel: my-desired-point-in-time
"""
LIST = """
globalOpts:
  sleepInsteadOfExit: false
  ignorePGVersionMismatch: false
  coordPoint: "/tmp/coord"
databases:
  - name: "db1"
    pgPort: 5430
    destRepo: "example-repo"
    destMessage: "postgres coordination example"
    destLabel: "pg-coord-example"
    contributor: someone
  - name: "db2"
    pgPort: 5429
    destRepo: "example-repo"
    destMessage: "postgres coordination example input"
    srcRepo: "example-repo"
    srcLabel: "my-desired-point-in-time"
"""

DATABASES = [
    DatabaseForm(
        "three sidecars of the second generation",
        ({"SIDECAR_CONFIG": "/config/0.yaml"}, {"SIDECAR_CONFIG": "config/1.yaml"}, {"SIDECAR_CONFIG": READ_ONLY}),
        (WRITE_ONLY, READ_WRITE),
        "db1 db2 db3",
        ("5430", "5429", "5428"),
        {
            "write-only-example": "postgres sidecar coordination example (write only)",
            "read-write-example": "postgres sidecar coordination example (read-write)",
        },
        ("dbuser", "postgres"),
    ),
    DatabaseForm(
        "variables of the second generation",
        (
            {
                "SIDECAR_GLOBALOPTS_COORD_POINT": "/tmp/coord",
                "SIDECAR_GLOBALOPTS_POLLINTERVAL": "1",
                "SIDECAR_DATABASE_NAME": "db1",
                "SIDECAR_DATABASE_PGPORT": "5430",
                "SIDECAR_DATABASE_SRCREPO": "example-repo",
                "SIDECAR_DATABASE_DESTREPO": "example-repo",
                "SIDECAR_DATABASE_DESTLABEL": "result",
                "SIDECAR_DATABASE_DESTMESSAGE": "of the latest bundle",
            },
        ),
        databases="db1",
        ports=("5430",),
        saved={"result": "of the latest bundle"},
    ),
    DatabaseForm(
        "nothing but the port",
        ({"SIDECAR_GLOBALOPTS_COORDPOINT": "/tmp/coord", "SIDECAR_DATABASE_PGPORT": "5430"},),
        databases="db",
        ports=("5430",),
    ),
    DatabaseForm(
        "a list of databases",
        ({"SIDECAR_CONFIG": LIST},),
        databases="db1 db2",
        ports=("5430", "5429"),
        saved={"pg-coord-example": "postgres coordination example"},
    ),
    DatabaseForm(
        "variables of the first generation",
        (
            {
                "dm_pg_opts": ";:c:/tmp/coord;V:true;S:false",
                "dm_pg_db_db1": ";:p:5430;m:postgres coordination;r:example-repo;l:my-label",
                "dm_pg_db_db2": "|=p=5429|m=from a tar file|r=example-repo|l=next|sr=example-repo|sl=of-a-tar-file",
                "dm_pg_db_db3": ";:p:5428;m:from data files;r:example-repo;sr:example-repo;sb:BUNDLE",
            },
        ),
        ports=("5430", "5429", "5428"),
        saved={"my-label": "postgres coordination", "next": "from a tar file"},
    ),
]

_APPLICATION = "tests/sidecar/test_wrap_application.py"
_PARAMETERS = "tests/sidecar/test_parameters.py"
_OF_DATABASES = "tests/sidecar/postgres/test_database_parameters.py"
_SERVICE = "tests/sidecar/postgres/test_database_service.py"
ELSEWHERE = {
    "-- CMD ARGS untouched": f"{_APPLICATION}::test_the_program_gets_its_arguments_untouched_once_the_data_is_ready",
    "events as empty files, no signs of life": f"{_APPLICATION}::test_an_old_sidecar_without_signs_of_life_is_served",
    "-b fuse -b postgres -d 'db1 db2'": f"{_APPLICATION}::test_several_databases_and_kinds_are_waited_for",
    "-b postgres without -d": f"{_APPLICATION}::test_events_of_the_first_generation_of_databases_are_not_in_a_folder",
    "the program's exit code": f"{_APPLICATION}::test_a_program_that_fails_keeps_its_code_and_the_sidecar_is_told",
    "exit 1 for wrong options": f"{_APPLICATION}::test_wrong_arguments_exit_with_1",
    "wrap_application.sh -s": f"{_APPLICATION}::test_it_sleeps_instead_of_exiting",
    "wrap_datamon.sh -s": "tests/sidecar/test_scripts.py::test_the_program_of_the_sidecar_gets_all_arguments",
    "a used folder": f"{_APPLICATION}::test_a_used_folder_is_refused_by_name",
    "refused commands, -i without one upload": f"{_PARAMETERS}::test_commands_that_can_not_be_run",
    "-i with an existing file": f"{_PARAMETERS}::test_what_can_not_work_together",
    "separators, cut values": f"{_PARAMETERS}::test_serialized_options",
    "source xor destination, label xor bundle": f"{_PARAMETERS}::test_yaml_that_says_something_else",
    "srcBundle": "tests/sidecar/test_mounts.py::test_yaml_of_the_second_generation_runs_as_it_is",
    "/config/pgparams.yaml": f"{_OF_DATABASES}::test_the_default_file_counts_if_it_is_there",
    "keys in any case": f"{_OF_DATABASES}::test_the_case_of_keys_in_yaml_does_not_matter",
    "YAML wins over variables": f"{_OF_DATABASES}::test_a_flag_precedes_yaml_and_yaml_the_environment",
    "sleepTimeout": f"{_OF_DATABASES}::test_datamons_second_generation_stays_for_ten_minutes",
    "no destRepo": f"{_OF_DATABASES}::test_without_a_repo_nothing_is_saved_whatever_else_datamons_forms_say",
    "what is required": f"{_OF_DATABASES}::test_wrong_parameters_are_refused_and_told_to_the_application",
    "V, another version": f"{_SERVICE}::test_another_version_is_refused_or_starts_blank",
    "empty folders": f"{_SERVICE}::test_files_of_a_bundle_become_a_data_directory",
}
