"""The scripts as they get into other people's images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.sidecar.conftest import SCRIPTS, SHELLS, Pod


def test_the_scripts_are_copied_ready_to_run(pod: Pod) -> None:
    target = pod.home / "shared" / "bin"
    done = pod.start("sheaf", "sidecar", "scripts", "--destination", target)
    assert done.end() == 0, done.err
    names = sorted(path.name for path in SCRIPTS.glob("*.sh"))
    assert done.out.splitlines() == [str(target / name) for name in names]
    for name in names:
        assert (target / name).read_bytes() == (SCRIPTS / name).read_bytes()
        assert os.stat(target / name).st_mode & 0o111 == 0o111


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("wrap_datamon.sh", "fuse"),
        ("wrap_datamon_pg.sh", "postgres"),
        ("datamover.sh", "datamover"),
        ("backup.sh", "backup"),
    ],
)
def test_the_program_of_the_sidecar_gets_all_arguments(pod: Pod, shell: str, script: str, kind: str) -> None:
    program = pod.home / "bin" / "sheaf"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\nexit 7\n")
    program.chmod(0o755)
    pod.variables["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = pod.start(*SHELLS[shell], SCRIPTS / script, "-s", "-c", "/tmp/coord", "-d", "config create", "-i", "f")
    assert done.end() == 7
    assert done.out == f"<sidecar><{kind}><-s><-c></tmp/coord><-d><config create><-i><f>"


@pytest.mark.parametrize(
    "script", ["wrap_application.sh", "wrap_datamon.sh", "wrap_datamon_pg.sh", "datamover.sh", "backup.sh"]
)
def test_the_scripts_are_in_the_package(script: str) -> None:
    assert (Path(SCRIPTS) / script).read_bytes().startswith(b"#!/bin/sh\n")
