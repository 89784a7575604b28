"""The manifests and the YAML of the how-to page are run: each container as a process, ``/shared`` and ``/tmp`` elsewhere."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs.pages import ROOT
from tests.mount.conftest import is_mounted, missing
from tests.sidecar.conftest import SCRIPTS, Pod, Process, wait_for

import sheaf

pytestmark = [pytest.mark.parts, pytest.mark.skipif(bool(missing()), reason=missing())]

PAGE = (ROOT / "docs/howto/sidecar.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
PODS = {block["metadata"]["name"]: block for block in BLOCKS if block.get("kind") == "Pod"}
PARAMETERS = [block for block in BLOCKS if "bundles" in block]
TRAIN = "import shutil, sys; shutil.copyfile(sys.argv[2] + '/labels.csv', sys.argv[4] + '/model')\n"


@pytest.fixture
def store(pod: Pod, tmp_path: Path) -> Iterator[sheaf.Store]:
    """A store with what the page's commands name, and the program that its pods run."""
    url = f"file://{tmp_path}/store"
    path = f"{SCRIPTS}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    pod.variables |= {"SHEAF_STORE": url, "PATH": path}
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "shared/out").mkdir(parents=True)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/labels.csv").write_text("labels")
    with sheaf.init(url, probe=False) as made:
        # The pods of earlier nights have set the label.
        made.create_repo("results").upload(tmp_path / "folder", message="last night", label="nightly")
        made.create_repo("faces").upload(tmp_path / "folder", message="m", label="init")
    with sheaf.connect(url) as found:
        yield found
    for mount in (tmp_path / "shared/faces", tmp_path / "mount"):
        if is_mounted(mount):
            subprocess.run(["fusermount3", "-u", "-z", mount], check=False)


def _start(pod: Pod, container: dict[str, Any]) -> Process:
    words = [*container["command"], *container.get("args", [])]
    return pod.start(*(str(word).replace("/shared", f"{pod.home}/shared") for word in words))


@pytest.mark.parametrize("name", PODS)
def test_a_pod_of_the_page_runs(pod: Pod, store: sheaf.Store, name: str) -> None:
    spec = PODS[name]["spec"]
    first, *native = spec["initContainers"]
    assert _start(pod, first).end() == 0
    sidecars = {each["name"]: _start(pod, each) for each in native}
    assert all(each["restartPolicy"] == "Always" for each in native)
    running = {each["name"]: _start(pod, each) for each in spec["containers"]}
    application, sidecar = running["application"], {**running, **sidecars}["sidecar"]
    assert application.end() == 0, application.err + sidecar.err
    if sidecars:  # the system ends them after the application
        wait_for(lambda: "it stays until it is terminated" in sidecar.err, "the sidecar")
        assert sidecar.popen.poll() is None
        sidecar.signal(signal.SIGTERM)
    assert sidecar.end() == 0, sidecar.err
    assert store.repo("results").bundle("label:nightly").read("model") == b"labels"
    assert not is_mounted(pod.home / "shared/faces")


@pytest.mark.parametrize("name", PODS)
def test_a_pod_of_the_page_ends_if_its_label_does_not_exist(pod: Pod, store: sheaf.Store, name: str) -> None:
    store.repo("faces").delete_label("init")
    spec = PODS[name]["spec"]
    first, *native = spec["initContainers"]
    assert _start(pod, first).end() == 0
    running = {each["name"]: _start(pod, each) for each in [*native, *spec["containers"]]}
    assert running["application"].end() == 125
    assert "didn't find label" in running["application"].err
    if native:
        running["sidecar"].signal(signal.SIGTERM)
    assert running["sidecar"].end() == 8


def test_the_yaml_of_the_page_runs(pod: Pod, store: sheaf.Store) -> None:
    (parameters,) = PARAMETERS
    text: str = yaml.safe_dump(parameters)
    pod.variables["dm_fuse_params"] = text.replace("/tmp/", f"{pod.home}/")
    (pod.home / "upload").mkdir()
    sidecar = pod.start("wrap_datamon.sh")
    application = pod.application("-b", "fuse", "--", "python", "train.py", "--data", "mount", "--output", "upload")
    assert application.end() == 0, application.err + sidecar.err
    assert sidecar.end() == 0
    saved = store.repo("results").bundle("label:nightly")
    assert saved.read("model") == b"labels"
    assert (pod.home / "bundle-id").read_text().strip() == saved.id
