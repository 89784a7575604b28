"""The manifest and the YAML of the how-to page are run: each container as a process, its volumes elsewhere."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs.pages import ROOT
from tests.sidecar.conftest import SCRIPTS, Process
from tests.sidecar.postgres.conftest import PostgresPod, free_port

pytestmark = pytest.mark.parts

PAGE = (ROOT / "docs/howto/sidecar-postgres.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
(MANIFEST,) = [block for block in BLOCKS if block.get("kind") == "Pod"]
(SEVERAL,) = [block for block in BLOCKS if "databases" in block]
(COMMAND,) = re.findall(r"^wrap_application\.sh (.*)$", PAGE, re.MULTILINE)
SCORE = "import os; assert not os.system(os.environ['SCORE'])\n"


def _here(postgres: PostgresPod, text: str) -> str:
    return text.replace("/shared", f"{postgres.pod.home}/shared").replace("/pg_stage", str(postgres.data))


def _start(postgres: PostgresPod, container: dict[str, Any]) -> Process:
    variables = {each["name"]: _here(postgres, each["value"]) for each in container.get("env", [])}
    variables.pop("SHEAF_STORE", None)
    variables = {name: value.replace("5432", str(postgres.port)) for name, value in variables.items()}
    before = dict(postgres.pod.variables)
    postgres.pod.variables |= variables
    try:
        return postgres.pod.start(
            *(_here(postgres, word) for word in [*container["command"], *container.get("args", [])])
        )
    finally:
        postgres.pod.variables = before


@pytest.fixture
def guide(postgres: PostgresPod) -> PostgresPod:
    """A store with what the page names, and the program that its pods run."""
    (postgres.pod.home / "score.py").write_text(SCORE)
    postgres.store.create_repo("databases")
    path = f"{SCRIPTS}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    postgres.pod.variables |= {"PATH": path, "SCORE": f"{postgres.psql} -c 'create table scores (id int)'"}
    return postgres


def test_the_pod_of_the_page_runs(guide: PostgresPod) -> None:
    spec = MANIFEST["spec"]
    (first,) = spec["initContainers"]
    assert _start(guide, first).end() == 0
    running = {each["name"]: _start(guide, each) for each in spec["containers"]}
    assert running["application"].end() == 0, running["application"].err + running["sidecar"].err
    assert running["sidecar"].end() == 0
    assert guide.store.repo("databases").bundle("label:nightly").message == "nightly run"


def test_the_yaml_of_several_databases_runs(guide: PostgresPod) -> None:
    repo = guide.store.repo("databases")
    (guide.pod.home / "shared").mkdir()
    sidecar = guide.sidecar(
        "--repo", "databases", "--message", "m", "--label", "users", "--name", "users", coord="first"
    )
    script = str(SCRIPTS / "wrap_application.sh")
    application = guide.pod.start(
        "sh", script, "-c", guide.pod.home / "first", "-b", "postgres", "-d", "users", "--", "true"
    )
    assert (application.end(), sidecar.end()) == (0, 0)
    first = repo.bundle("label:users").id
    text = yaml.safe_dump(SEVERAL).replace("5432", str(guide.port)).replace("5433", str(free_port()))
    guide.pod.variables |= {"SIDECAR_CONFIG": _here(guide, text), "SIDECAR_DATABASE_DATADIR": str(guide.data)}
    sidecar = guide.pod.start("wrap_datamon_pg.sh")
    before, quoted, after = COMMAND.split('"')
    words = [*before.split(), quoted, *after.split()]
    application = guide.pod.start("sh", script, *(_here(guide, word) for word in words))
    assert (application.end(), sidecar.end()) == (0, 0), application.err + sidecar.err
    assert repo.bundle("label:scores").message == "nightly scores"
    id_file = Path(_here(guide, SEVERAL["databases"][1]["destBundleID"]))
    dump = repo.bundle(id_file.read_text().strip())
    assert dump.id != first
    assert b"ROLE" in dump.read("roles.sql")
