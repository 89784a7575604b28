"""Podman and the images, made once for a test process; and a store in a bucket for each test."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.pods.images import build_images
from tests.pods.podman import Podman, missing, podman_in
from tests.servers.fixtures import dummy_credentials, fresh, s3_endpoint  # noqa: F401

import sheaf
from sheaf.sidecar.postgres.programs import find_programs, server_account


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    """Podman with all images."""
    if missing():
        pytest.skip(missing())
    with tempfile.TemporaryDirectory(prefix="sheaf-tests-", dir=_fast_folder()) as folder:
        os.chmod(folder, 0o755)
        with podman_in(Path(folder) / "podman") as made:
            build_images(made, made.home / "images", find_programs(None, os.environ).folder)
            yield made


def _fast_folder() -> str | None:
    """Memory if there is enough of it: images are two gigabytes that are copied several times."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 4 << 30 else None


@pytest.fixture
def store_url(s3_endpoint: str, fresh: str) -> str:  # noqa: F811 - the fixtures
    return f"s3://bucket/{fresh}?endpoint={s3_endpoint}"


@pytest.fixture
def store(store_url: str, tmp_path: Path) -> Iterator[sheaf.Store]:
    """A store with the repos that the manifests name."""
    (tmp_path / "labels.csv").write_text("labels")
    with sheaf.init(store_url, probe=False) as made:
        made.create_repo("results")
        made.create_repo("databases")
        faces = made.create_repo("faces")
        faces.upload(tmp_path, message="m", label="init")
        faces.set_label("approved", "label:init")
        yield made


@pytest.fixture(scope="session")
def users_database() -> Iterator[Path]:
    """A data directory with a table `users`, which the server's account owns."""
    if missing():
        pytest.skip(missing())
    programs = find_programs(None, os.environ)
    account = server_account(os.environ)
    with tempfile.TemporaryDirectory(prefix="sheaf-tests-") as folder:
        os.chmod(folder, 0o777)
        data = Path(folder) / "data"

        def run(*command: str, stdin: str | None = None) -> None:
            subprocess.run(
                command,
                input=stdin,
                text=True,
                check=True,
                capture_output=True,
                cwd="/",
                user=account.uid,
                group=account.gid,
            )

        run(programs["initdb"], "--auth=trust", "--username=postgres", "--no-locale", f"--pgdata={data}")
        run(programs["postgres"], "--single", "-D", str(data), "postgres", stdin="create table users (name text)\n")
        yield data
