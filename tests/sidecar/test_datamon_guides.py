"""All forms of Datamon's guides run as they are: old YAML, old variables and old command lines need no change."""

from __future__ import annotations

import ast
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import ROOT
from tests.mount.conftest import is_mounted, missing
from tests.sidecar.conftest import SCRIPTS, Pod
from tests.sidecar.guide_forms import DATABASES, ELSEWHERE, FILES, DatabaseForm, FileForm
from tests.sidecar.postgres.conftest import PostgresPod, free_port

import sheaf

FOLDERS = ("/tmp/", "/config/", "/pg_stage")


def _here(home: Path, text: str) -> str:
    for folder in FOLDERS:
        text = text.replace(folder, f"{home}{folder}")
    return text


@pytest.mark.parametrize("form", ELSEWHERE)
def test_the_tests_of_all_other_forms_exist(form: str) -> None:
    path, _, name = ELSEWHERE[form].partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


@pytest.fixture
def files(pod: Pod, tmp_path: Path) -> Iterator[sheaf.Store]:
    """A store with the repo of the guide, and the folders of its pod."""
    url = f"file://{tmp_path}/store"
    pod.variables["SHEAF_STORE"] = url
    for folder in ("tmp/upload", "tmp/mount", "config", "folder"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "folder/name").write_text("first")
    with sheaf.init(url, probe=False) as made:
        made.create_repo("ransom-datamon-test-repo").upload(tmp_path / "folder", message="m", label="testlabel")
    with sheaf.connect(url) as found:
        yield found
    if is_mounted(tmp_path / "tmp/mount"):
        subprocess.run(["fusermount3", "-u", "-z", tmp_path / "tmp/mount"], check=False)


@pytest.mark.parts
@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize("form", FILES, ids=str)
def test_a_form_of_the_guide_of_files_runs(pod: Pod, files: sheaf.Store, form: FileForm) -> None:
    (pod.home / "config/fuse-params.yaml").write_text(_here(pod.home, form.config))
    pod.variables |= {
        name: value if value.startswith("config/") else _here(pod.home, value) for name, value in form.variables.items()
    }
    sidecar = pod.start("sh", SCRIPTS / "wrap_datamon.sh", *(_here(pod.home, word) for word in form.arguments))
    place = pod.home / "tmp"
    program = ["sh", "-c", 'cp "$1/name" "$2/result"', "-", place / "mount", place / "upload"]
    application = pod.start("sh", SCRIPTS / "wrap_application.sh", "-c", place / "coord", "-b", "fuse", "--", *program)
    assert (application.end(), sidecar.end()) == (0, 0), application.err + sidecar.err
    saved = files.repo("ransom-datamon-test-repo").bundle("label:coordemo")
    assert (saved.message, saved.read("result")) == ("result of container coordination demo", b"first")
    assert Path(_here(pod.home, form.id_file)).read_text().strip() == saved.id
    assert application.out == "received upload done event, exiting\n"


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

    def here(text: str) -> str:
        for port, free in ports.items():
            text = text.replace(port, free)
        return _here(pod.home, text).replace("BUNDLE", source)

    (pod.home / "config").mkdir()
    for at, config in enumerate(form.configs):
        (pod.home / f"config/{at}.yaml").write_text(here(config))
    before, sidecars = dict(pod.variables), []
    for at, variables in enumerate(form.variables):
        given = {name: text if text.startswith("config/") else here(text) for name, text in variables.items()}
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
