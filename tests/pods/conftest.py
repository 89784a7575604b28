"""Podman and the images, made once for all processes of a run; and a store in a bucket for each test."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.pods.images import build_images
from tests.pods.podman import Podman, missing, podman_in
from tests.servers.fixtures import dummy_credentials, fresh, s3_endpoint  # noqa: F401

import sheaf
from sheaf.sidecar.postgres.programs import find_programs


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time."""
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """Podman with all images."""
    if missing():
        pytest.skip(missing())
    home = tmp_path_factory.mktemp("podman")
    with podman_in(home) as made:
        build_images(made, tmp_path_factory.mktemp("images"), find_programs(None, os.environ).folder)
        yield made


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
