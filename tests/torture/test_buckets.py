"""Buckets of a server on this machine, one of them a bad look-alike."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from tests.servers.proxy import Forward, Request, Response, proxy
from tests.torture.test_broken import SMALL

from sheaf.storage.options import StorageOptions
from sheaf.torture.place import Place, scratch
from sheaf.torture.promises import DEPENDS
from sheaf.torture.run import Plan, Report, torture
from sheaf.torture.surroundings import look_at_bucket


def tortured(url: str, rounds: int = 0) -> Report:
    with scratch(Place.at(url, StorageOptions())) as place:
        return torture(place, Plan(1, rounds, scale=SMALL.scale))


def test_a_bucket_keeps_everything(s3_endpoint: str, fresh: str) -> None:
    report = tortured(f"s3://bucket/{fresh}?endpoint={s3_endpoint}", rounds=1)
    said = {finding.promise: finding.verdict for finding in report.findings}
    assert set(said) == DEPENDS.keys() - {"durable files", "exclusive names", "file names", "file system"}
    assert said.pop("expiry and locks") == "not tried"
    assert set(said.values()) == {"kept"}
    (lost,) = [finding.seen for finding in report.findings if finding.promise == "lost answers"]
    assert "cut off by a time-out" in lost
    listed = boto3.client("s3", endpoint_url=s3_endpoint).list_objects_v2(Bucket="bucket", Prefix=f"{fresh}/")
    assert listed["KeyCount"] == 0


@pytest.fixture
def unconditional(s3_endpoint: str) -> Iterator[str]:
    """A look-alike of S3 that ignores If-None-Match."""

    def ignore(request: Request, forward: Forward) -> Response:
        request.headers.pop("if-none-match", None)
        return forward(request)

    with proxy(s3_endpoint, ignore) as url:
        yield url


def test_a_bucket_that_ignores_the_condition_is_named(unconditional: str, fresh: str) -> None:
    report = tortured(f"s3://bucket/{fresh}?endpoint={unconditional}")
    assert {"create-if-absent", "one winner"} <= {finding.promise for finding in report.broken}


def test_old_versions_are_warned_of(s3_endpoint: str) -> None:
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    for bucket, verdict in (("versioned", "warning"), ("bucket", "kept")):
        versions, expiry = look_at_bucket(Place.at(f"s3://{bucket}/x?endpoint={s3_endpoint}", StorageOptions()))
        assert (versions.promise, versions.verdict) == ("old versions", verdict)
        assert expiry.verdict == "not tried"
