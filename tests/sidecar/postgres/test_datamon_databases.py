"""All forms of Datamon's guide of databases run as they are, with real servers."""

from __future__ import annotations

import shutil
import tarfile

import pytest
from tests.sidecar.conftest import SCRIPTS
from tests.sidecar.guide_forms import DATABASES, DatabaseForm, here
from tests.sidecar.postgres.conftest import PostgresPod, free_port


@pytest.fixture
def databases(postgres: PostgresPod) -> PostgresPod:
    """A repo with a database as data files, and as the tar file of the first generation."""
    repo = postgres.store.create_repo("example-repo")
    sidecar = postgres.sidecar("--repo", "example-repo", "--message", "m", "--label", "first", coord="first")
    application = postgres.application("create table t as select 7 as id", coord="first")
    assert (application.end(), sidecar.end()) == (0, 0), application.err + sidecar.err
    raw, bundle = postgres.data / "raw", postgres.data / "bundle"
    source = repo.bundle("label:first")
    source.download(raw)
    for folder in ("meta", "data"):
        (bundle / folder).mkdir(parents=True)
    (bundle / "meta/pg_version").write_text(f"{(raw / 'PG_VERSION').read_text().strip()}.5\n")
    with tarfile.open(bundle / "data/backup.tar.gz", "w") as tar:
        tar.add(raw, ".")
    repo.upload(bundle, message="a tar file", label="of-a-tar-file")
    (raw / "pg_version").write_text((bundle / "meta/pg_version").read_text())
    repo.upload(raw, message="data files", label="my-desired-point-in-time")
    shutil.rmtree(raw)
    return postgres


@pytest.mark.parts
@pytest.mark.parametrize("form", DATABASES, ids=str)
def test_a_form_of_the_guide_of_databases_runs(databases: PostgresPod, form: DatabaseForm) -> None:
    pod, repo = databases.pod, databases.store.repo("example-repo")
    source = repo.bundle("label:my-desired-point-in-time").id
    ports = {port: str(free_port()) for port in form.ports}

    def placed(text: str) -> str:
        for port, free in ports.items():
            text = text.replace(port, free)
        return here(pod.home, text).replace("BUNDLE", source)

    (pod.home / "config").mkdir()
    for at, config in enumerate(form.configs):
        (pod.home / f"config/{at}.yaml").write_text(placed(config))
    before, sidecars = dict(pod.variables), []
    for at, variables in enumerate(form.variables):
        given = {name: text if text.startswith("config/") else placed(text) for name, text in variables.items()}
        pod.variables = {**before, "SIDECAR_DATABASE_DATADIR": str(databases.data / str(at)), **given}
        sidecars.append(pod.start("sh", SCRIPTS / "wrap_datamon_pg.sh"))
    pod.variables = before
    clients = [databases.psql.replace(str(databases.port), port) for port in ports.values()]
    asked = [f"{clients[0]} -d template1 -c 'create table made ()'"]
    asked += [f"{clients[0].replace('-U postgres', f'-U {user}')} -d postgres -c 'select 1'" for user in form.users]
    named = ["-d", form.databases] if form.databases else []
    words = ["-c", pod.home / "tmp/coord", "-b", "postgres", *named, "--", "sh", "-c", " && ".join(asked)]
    application = pod.start("sh", SCRIPTS / "wrap_application.sh", *words)
    codes = [application.end(), *(sidecar.end() for sidecar in sidecars)]
    assert codes == [0] * len(codes), application.err + "".join(sidecar.err for sidecar in sidecars)
    assert {label: repo.bundle(f"label:{label}").message for label in form.saved} == form.saved
    for name in form.databases.split():
        assert (pod.home / "tmp/coord" / name / "dbuploaddone").read_bytes() == b""
