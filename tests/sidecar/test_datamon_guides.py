"""All forms of Datamon's guide of files run as they are: old YAML, old variables and old command lines need no change."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import ROOT
from tests.mount.conftest import is_mounted, missing
from tests.sidecar.conftest import SCRIPTS, Pod
from tests.sidecar.guide_forms import ELSEWHERE, FILES, FileForm, here

import sheaf


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
    (pod.home / "config/fuse-params.yaml").write_text(here(pod.home, form.config))
    pod.variables |= {
        name: value if value.startswith("config/") else here(pod.home, value) for name, value in form.variables.items()
    }
    sidecar = pod.start("sh", SCRIPTS / "wrap_datamon.sh", *(here(pod.home, word) for word in form.arguments))
    place = pod.home / "tmp"
    program = ["sh", "-c", 'cp "$1/name" "$2/result"', "-", place / "mount", place / "upload"]
    application = pod.start("sh", SCRIPTS / "wrap_application.sh", "-c", place / "coord", "-b", "fuse", "--", *program)
    assert (application.end(), sidecar.end()) == (0, 0), application.err + sidecar.err
    saved = files.repo("ransom-datamon-test-repo").bundle("label:coordemo")
    assert (saved.message, saved.read("result")) == ("result of container coordination demo", b"first")
    assert Path(here(pod.home, form.id_file)).read_text().strip() == saved.id
    assert application.out == "received upload done event, exiting\n"
