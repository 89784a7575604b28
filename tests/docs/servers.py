"""What pages need: ``my-bucket`` on emulators with the variables that lead there, or programs of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import boto3
import pytest
from tests.servers import azurite, gcs
from tests.servers.fixtures import write_service_account
from tests.servers.moto import make_bucket, moto_s3
from tests.servers.proxy import proxy
from tests.sidecar.postgres.conftest import missing_server


@contextmanager
def _s3(folder: Path) -> Iterator[dict[str, str]]:
    with moto_s3() as url:
        fresh_buckets(url)
        yield {"SHEAF_ENDPOINT": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@contextmanager
def _gcs(folder: Path) -> Iterator[dict[str, str]]:
    credential = write_service_account(folder / "service-account.json")
    with moto_s3() as s3, proxy(s3, gcs.translate) as url:
        fresh_buckets(s3)
        yield {"SHEAF_ENDPOINT": url, "GOOGLE_APPLICATION_CREDENTIALS": str(credential)}


@contextmanager
def _azure(folder: Path) -> Iterator[dict[str, str]]:
    if reason := azurite.missing():
        pytest.skip(reason)
    with azurite.azurite(folder) as url:
        azurite.make_container(url, "my-container")
        account = {"AZURE_STORAGE_ACCOUNT_NAME": azurite.ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": azurite.KEY}
        yield {"SHEAF_ENDPOINT": url, **account}


@contextmanager
def _postgres(folder: Path) -> Iterator[dict[str, str]]:
    """Nothing runs: the page starts its servers. Their programs have to be there."""
    if reason := missing_server():
        pytest.skip(reason)
    yield {}


def fresh_buckets(endpoint: str) -> None:
    """Empty buckets; all servers of one process share what is in them."""
    stores = boto3.resource("s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test")
    for name in ("my-bucket", "elsewhere"):
        make_bucket(endpoint, name)
        stores.Bucket(name).objects.delete()


SERVERS: dict[str, Callable[[Path], AbstractContextManager[dict[str, str]]]] = {
    "s3": _s3,
    "gcs": _gcs,
    "azure": _azure,
    "postgres": _postgres,
}
