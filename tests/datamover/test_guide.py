"""The manifest of the how-to page: its command runs, with the share at another place."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from tests.cli.conftest import Cli, cli
from tests.datamover.conftest import LONG_AGO, write
from tests.docs.pages import ROOT

__all__ = ["cli"]

PAGE = (ROOT / "docs/howto/datamover.md").read_text(encoding="utf-8")


def test_the_command_of_the_cron_job_runs(cli: Cli, tmp_path: Path) -> None:
    (job,) = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    program, *command = container["command"]
    args = [word.replace("/filestore", str(tmp_path / "filestore")) for word in container["args"]]
    work = tmp_path / "filestore/datamover-backup-wd"
    work.mkdir(parents=True)
    write(tmp_path / "filestore/output/job/old", b"old", LONG_AGO)
    cli.variables["SHEAF_STORE"] = f"memory://{tmp_path}"
    cli("store", "init", cli.variables["SHEAF_STORE"])
    cli("repo", "create", "--repo", "backup-filestore-output")
    cli(*command, *args, "--work-dir", work)
    assert program == "sheaf"
    assert (work / "unlinkable.log").read_text() == f"{tmp_path}/filestore/output/job/old\n"
