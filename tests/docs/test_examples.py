"""Every command's example, as ``--help`` and the reference show it, works in a store that has what it talks of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.docs.check_page import surroundings
from tests.docs.pages import ROOT
from tests.docs.servers import fresh_buckets
from tests.docs.shell import shell
from tests.mount.conftest import missing
from tests.sidecar.postgres.conftest import missing_server

#: What the examples talk of.
WORLD = """
set -e
mkdir -p faces/train part-1
seq 100 > faces/labels.csv && seq 10 > faces/train/1.jpg && seq 20 > part-1/2.jpg && seq 30 > new.jpg
sheaf repo create --repo faces
for label in init v1 v2 production release-1; do
  echo $label >> faces/labels.csv
  sheaf bundle upload --repo faces --path faces --message $label --label $label
done
sheaf repo create --repo portraits
sheaf diamond initialize --repo faces > diamond
sheaf context create dev --store "$HOME/dev"
"""

_SECRET = """export SHEAF_STORE=$HOME/secret SHEAF_KEY_FILE=$HOME/secret.key
sheaf store init $SHEAF_STORE --encrypt"""

#: What the world must also have for one of them, or must not have yet.
BEFORE = {
    "sheaf append": "cp new.jpg new.csv",
    "sheaf branch delete": "sheaf branch create --repo faces --branch cleaned",
    "sheaf branch merge": """sheaf branch create --repo faces --branch cleaned
      sheaf cp new.jpg faces@cleaned:train/ && sheaf cp part-1/2.jpg faces@main:train/""",
    "sheaf bundle commit": "sheaf bundle mount new --repo faces --mount ./work --message m --daemonize; echo 1 > ./work/a",
    "sheaf bundle delete": "sheaf label delete --repo faces --label production",
    "sheaf bundle undelete": """sheaf label delete --repo faces --label production
      sheaf --json bundle delete --repo faces --bundle main~1 --yes | grep -o '[0-9A-Za-z]\\{27\\}' > deleted""",
    "sheaf bundle download": "rm -r faces",
    "sheaf bundle upload": "sheaf label delete --repo faces --label init",
    "sheaf bump": "sheaf add faces@main data/faces",
    "sheaf config get": "sheaf config set store $HOME/store",
    "sheaf context get": "sheaf context create prod --store s3://prod-bucket/sheaf",
    "sheaf context use": "sheaf context create prod --store s3://prod-bucket/sheaf",
    "sheaf diamond commit": "sheaf diamond split add --repo faces --diamond $(cat diamond) --path part-1",
    "sheaf diamond split get": "sheaf diamond split add --repo faces --diamond $(cat diamond) --path part-1 --split part-1",
    "sheaf edit": "printf 'mv train training\\nrm labels.csv\\n' > changes.txt",
    "sheaf pull": "sheaf add faces@main data/faces",
    "sheaf repo create": "sheaf repo delete --repo faces --yes",
    "sheaf repo delete": "sheaf repo list",
    "sheaf repo rename": "sheaf repo delete --repo portraits --yes",
    "sheaf repo undelete": "sheaf repo create --repo old && sheaf repo delete --repo old --yes",
    "sheaf sidecar fuse": """sheaf repo create --repo results && mkdir out coord
      sheaf sidecar scripts --destination bin
      bin/wrap_application.sh -c ./coord -b fuse -- cp in/labels.csv out > wrapper.log 2>&1 &""",
    "sheaf sidecar postgres": """sheaf repo create --repo results && rm -rf /tmp/sheaf-example-pg
      mkdir coord && sheaf sidecar scripts --destination bin
      bin/wrap_application.sh -c ./coord -b postgres -d db -- true > wrapper.log 2>&1 &""",
    "sheaf status": "sheaf add faces@main data/faces",
    "sheaf store promote": "sheaf store replica add s3://elsewhere/sheaf",
    "sheaf store repair": "sheaf store replica add s3://elsewhere/sheaf",
    "sheaf store replica remove": "sheaf store replica add s3://elsewhere/sheaf",
    "sheaf store erase": "sheaf diamond cancel --repo faces --diamond $diamond",
    "sheaf store gc": "sheaf diamond cancel --repo faces --diamond $diamond",
    "sheaf store info": "sheaf store init s3://my-bucket/sheaf",
    "sheaf repo push": "sheaf store init s3://elsewhere/pushed",
    "sheaf repo pull": "sheaf store init s3://elsewhere/pulled; sheaf repo push faces s3://elsewhere/pulled",
    "sheaf store key add": _SECRET,
    "sheaf store key list": _SECRET,
    "sheaf store key rotate": _SECRET,
    "sheaf store key remove": f"""{_SECRET}
      sheaf store key add --new-key-file $HOME/other.key
      id=$(sheaf store key list | grep -o '[0-9A-Za-z]\\{{27\\}}' | tail -n 1)""",
    "datamon context get": "datamon context create --context dev --meta m --vmeta v --blob b --wal w --read-log r",
}

#: What an example leaves outside of its home.
AFTER = {"sheaf sidecar postgres": "rm -r /tmp/sheaf-example-pg"}

#: Questions that an example leaves to its reader.
ANSWERS = {"sheaf bundle delete": "y", "sheaf repo rename": "y", "sheaf store erase": "y"}


def examples() -> list[tuple[str, str]]:
    text = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    sections = re.findall(
        r"^## ((?:sheaf|datamon) .*)\n(?:(?!^## )[\s\S])*?^```console\n([\s\S]*?)^```", text, re.MULTILINE
    )
    return [(name, re.sub(r"^\$ ", "", block, flags=re.MULTILINE)) for name, block in sections]


EXAMPLES = examples()


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with surroundings("s3", tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]) -> Path:
    home = tmp_path_factory.mktemp("world") / "home"
    home.mkdir()
    with shell(home, variables) as session:
        printed, code = session.run(WORLD)
    assert code == 0, printed
    return home


@contextmanager
def unmounted(home: Path) -> Iterator[None]:
    """Nothing below a folder is mounted any more when a test is over."""
    try:
        yield
    finally:
        if Path("/proc/mounts").exists():
            mounts = [line.split()[1] for line in os.fsdecode(Path("/proc/mounts").read_bytes()).splitlines()]
            for folder in [folder for folder in mounts if folder.startswith(str(home))]:
                subprocess.run(["umount", folder], check=False)


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_works(name: str, example: str, world: Path, variables: dict[str, str], tmp_path: Path) -> None:
    if ("fusermount3" in example or name == "sheaf sidecar fuse") and missing():
        pytest.skip(missing())
    if name == "sheaf sidecar postgres" and missing_server():
        pytest.skip(missing_server())
    home = tmp_path / "home"
    shutil.copytree(world, home, symlinks=True)
    fresh_buckets(variables["SHEAF_ENDPOINT"])
    with shell(home, variables) as session, unmounted(home):
        printed, code = session.run(f"diamond=$(cat diamond)\n{BEFORE.get(name, ':')}")
        assert code == 0, printed
        printed, code = session.run(f"echo {ANSWERS.get(name, '')} | {{ set -e; {example}\n}}")
        session.run(AFTER.get(name, ":"))
    assert code == 0, printed


def test_every_command_has_an_example() -> None:
    text = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert [name for name, _ in EXAMPLES] == re.findall(r"^## ((?:sheaf|datamon) .*)$", text, re.MULTILINE)
