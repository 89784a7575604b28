"""PostgreSQL's programs as scripts that only remember what was asked, and a pod with the real ones."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.sidecar.conftest import Pod, Process

import sheaf
from sheaf.errors import NotFound
from sheaf.sidecar.children import Account
from sheaf.sidecar.postgres.database_service import PostgresInstallation
from sheaf.sidecar.postgres.programs import find_programs

#: By name, with ``$data`` for the data directory, as far as the program is given it.
FAKES = {
    "initdb": 'data=${1#--pgdata=}; mkdir -p "$data/global" "$data/pg_tblspc"; echo 15 >"$data/PG_VERSION"\n'
    'echo "shut down" >"$data/global/pg_control"',
    "postgres": """
[ "$1" != --version ] || { echo "postgres (PostgreSQL) 15.1"; exit; }
if [ -e "$2/broken" ]; then
    echo "LOG:  starting" >&2
    echo "FATAL:  it is broken" >&2
    exit 1
fi
echo "in production" >"$2/global/pg_control"
echo $$ >"$4/up"
trap 'rm -f "$4/up"; echo "shut down" >"$2/global/pg_control"; exit 0' INT
while :; do sleep 0.02; done
""",
    "pg_isready": '[ -e "$3/up" ] || exit 2',
    "pg_controldata": 'echo "pg_control version number: 1300"; echo "Database cluster state:   $(cat "$1/global/pg_control")"',
    "psql": 'case "$*" in *" -o "*) printf "uapp\\0utemplate1\\0" >"$(echo "$*" | sed "s/.* -o \\([^ ]*\\).*/\\1/")" ;; esac',
    "pg_dump": 'for word; do case $word in --file=*) mkdir "${word#*=}"; echo x >"${word#*=}/toc.dat" ;; esac; done',
    "pg_dumpall": 'for word; do case $word in --file=*) echo "CREATE ROLE postgres;" >"${word#*=}" ;; esac; done',
    "pg_restore": "",
    "vacuumdb": "",
}
#: Downloads what the folder ``source`` contains; an upload to the repo ``bad`` fails.
PROGRAM = """
log=$(dirname "$0")/calls
echo "$*" >>"$log"
case "$*" in
    *"--help"* | "repo get"*) ;;
    *"--repo bad"*) echo "error: no access" >&2; exit 9 ;;
    "bundle download"*) for last; do :; done; cp -R "$(dirname "$0")/source/." "$last" ;;
    "bundle upload"*) echo "Uploaded bundle id:id$(grep -c "^bundle upload --path" "$log")" ;;
esac
"""


class FakePostgres(PostgresInstallation):
    """Runs as the user who runs the tests."""

    def account(self) -> Account:
        return Account(None, None, self.variables)


@pytest.fixture
def installation(tmp_path: Path) -> FakePostgres:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in FAKES.items():
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/ran"\n{text}\n')
        (folder / name).chmod(0o755)
    (tmp_path / "program").write_text(PROGRAM)
    return FakePostgres(["sh", str(tmp_path / "program")], {"PATH": os.environ["PATH"]}, folder)


def missing_server() -> str:
    """Why no real server can run here; "" if one can."""
    try:
        find_programs(None, os.environ)
    except NotFound as error:
        return error.message
    return ""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class PostgresPod:
    """A pod with a store, a folder for data that the server's user has access to, and a client."""

    pod: Pod
    store: sheaf.Store
    data: Path
    port: int

    def sidecar(self, *options: object, coord: str = "coord", module: tuple[str, ...] = ("sheaf",)) -> Process:
        quick = ["--poll-interval", "0.1", "--lost-timeout", "5", "--save-timeout", "120", "--start-timeout", "120"]
        place = ["-c", self.pod.home / coord, "--data-dir", self.data / coord, "--port", self.port]
        return self.pod.start(*module, "sidecar", "postgres", *place, *quick, *options)

    def application(self, sql: str, *options: object, coord: str = "coord") -> Process:
        """Runs SQL, and prints what it answers."""
        return self.script(f'{self.psql} -c "{sql}"', *options, coord=coord)

    def script(self, text: str, *options: object, coord: str = "coord") -> Process:
        kind = ["-b", "postgres", "-d", "db", "-l", 5, "-t", 120, "-g", 1, *options]
        script = Path(sheaf.__file__).parent / "sidecar/shell/wrap_application.sh"
        return self.pod.start("dash", script, "-p", "0.1", "-c", self.pod.home / coord, *kind, "--", "sh", "-c", text)

    @property
    def psql(self) -> str:
        program = find_programs(None, os.environ)["psql"]
        return f"{program} -X -q -A -t -v ON_ERROR_STOP=1 -h localhost -p {self.port} -U postgres"

    def state(self, folder: Path) -> str:
        """The state of a data directory, in the words of PostgreSQL."""
        command = [find_programs(None, os.environ)["pg_controldata"], str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={"LC_ALL": "C"})
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("Database cluster state:")]
        return line.partition(":")[2].strip()


@pytest.fixture
def postgres(pod: Pod) -> Iterator[PostgresPod]:
    if missing_server():
        pytest.skip(missing_server())
    data = Path(tempfile.mkdtemp(prefix="sheaf-tests-"))
    data.chmod(0o755)  # pytest's own folders are closed to the server's user
    url = f"file://{pod.home}/store"
    pod.variables |= {"SHEAF_STORE": url, "TMPDIR": str(data)}
    with sheaf.init(url, probe=False) as made:
        made.create_repo("dbs")
    try:
        with sheaf.connect(url) as store:
            yield PostgresPod(pod, store, data, free_port())
    finally:
        pod.clean()
        shutil.rmtree(data, ignore_errors=True)
