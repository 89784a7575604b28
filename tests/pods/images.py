"""The images of deploy/Dockerfile: its last stages as they are, on root file systems of this machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT
from tests.pods.local_root import write_environment, write_root
from tests.pods.podman import Podman

import sheaf

__all__ = ["IMAGES", "build_images", "local_dockerfile"]

IMAGES = ("sheaf", "sheaf-sidecar", "sheaf-sidecar-postgres")

_STAGE = re.compile(r"^FROM (\S+) AS (\S+)$", re.MULTILINE)

#: The user's program and its image: it writes what it read.
_PROGRAM_IMAGE = """
FROM localhost/root:1
COPY *.py /program/
ENV PATH=/usr/local/bin:/usr/bin:{postgres}
WORKDIR /program
USER 4711:4711
"""
_PROGRAMS = {
    "train.py": """
import pathlib, sys
_, _, data, _, output = sys.argv
print("files:", sorted(path.name for path in pathlib.Path(data).iterdir()), flush=True)
out = pathlib.Path(output)
out.mkdir(exist_ok=True)
(out / "model").write_bytes(b"trained on " + (pathlib.Path(data) / "labels.csv").read_bytes())
marker = out.parent / "mode"
mode = marker.read_text().strip() if marker.exists() else ""
if mode == "fail":
    sys.exit(3)
if mode == "stay":
    import time
    print("the program stays", flush=True)
    time.sleep(600)
""",
    "score.py": """
import os, subprocess
for port, sql in (
    (os.environ["SCORES_PORT"], "create table scores as select 42 as score; select score from scores"),
    (os.environ["USERS_PORT"], "insert into users values ('new'); select name from users order by name"),
):
    to = ["-h", "localhost", "-p", port, "-U", "postgres"]
    subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *to, "-c", sql], check=True)
""",
}


def local_dockerfile(text: str) -> str:
    """The Dockerfile with local images as the stages that install packages; the rest is as it was written."""
    starts = [*_STAGE.finditer(text)]
    ends = [match.start() for match in starts[1:]] + [len(text)]
    kept = []
    for match, end in zip(starts, ends, strict=True):
        name = match[2]
        if name.startswith(("debian", "build")):
            kept.append(f"FROM localhost/{'build' if name.startswith('build') else 'root'}:1 AS {name}\n")
        else:
            kept.append(text[match.start() : end])
    return "".join(kept)


def build_images(podman: Podman, folder: Path, postgres: Path) -> None:
    """Build all images of the manifests. ``postgres``: the folder of PostgreSQL's programs."""
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = (folder / "dist").glob("*.whl")
    write_root(folder / "root.tar")
    write_environment(folder / "build.tar", wheel)
    for name in ("root", "build"):
        podman.run("import", folder / f"{name}.tar", f"localhost/{name}:1")
        (folder / f"{name}.tar").unlink()
    context = folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(local_dockerfile((ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")))
    for name in IMAGES:
        tag = f"localhost/{name}:{sheaf.__version__}"
        podman.run("build", "--layers", "--target", name, "--tag", tag, context)
    _build_program(podman, folder / "program", postgres)


def _build_program(podman: Podman, context: Path, postgres: Path) -> None:
    context.mkdir()
    for name, text in _PROGRAMS.items():
        (context / name).write_text(text)
    (context / "Dockerfile").write_text(_PROGRAM_IMAGE.format(postgres=postgres))
    podman.run("build", "--tag", "localhost/your-program:1.0", context)
