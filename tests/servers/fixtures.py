"""Servers for tests: one of each for a test process, a folder of its own in the bucket for each test."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.servers import azurite, gcs
from tests.servers.moto import make_bucket, moto_s3
from tests.servers.proxy import proxy

_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with moto_s3() as url:
        make_bucket(url, "bucket")
        yield url


@pytest.fixture(scope="session")
def gcs_endpoint(s3_endpoint: str) -> Iterator[str]:
    with proxy(s3_endpoint, gcs.translate) as url:
        yield url


@pytest.fixture(autouse=True)
def dummy_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any, the client would ask the cloud's metadata address."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", azurite.ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", azurite.KEY)


@pytest.fixture
def fresh() -> str:
    """A folder name that no other test of this process uses."""
    return f"t{next(_numbers)}"


@pytest.fixture(scope="session")
def gcs_credential(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_service_account(tmp_path_factory.mktemp("gcs") / "service-account.json")


def write_service_account(path: Path) -> Path:
    """A service account with a real key that no server asks for."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"type": "service_account", "disable_oauth": True, "client_email": "robot@example.invalid"}
    path.write_text(json.dumps({**account, "private_key": pem, "private_key_id": "1"}))
    return path


@pytest.fixture(scope="session")
def azure_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if reason := azurite.missing():
        pytest.skip(reason)
    with azurite.azurite(tmp_path_factory.mktemp("azurite")) as url:
        azurite.make_container(url, "container")
        yield url
