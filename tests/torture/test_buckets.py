"""Buckets of a server on this machine, one of them a bad look-alike."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from tests.servers.proxy import Forward, Request, Response, proxy
from tests.torture.test_broken import SMALL

from sheaf.storage.storage_options import StorageOptions
from sheaf.torture.promises import DEPENDS, PromiseFinding
from sheaf.torture.rules import check_bucket_rules
from sheaf.torture.runner import TorturePlan, TortureReport, torture
from sheaf.torture.scratch_location import ScratchLocation, scratch
from sheaf.torture.surroundings import check_bucket


def tortured(url: str, rounds: int = 0) -> TortureReport:
    with scratch(ScratchLocation.at(url, StorageOptions())) as location:
        return torture(location, TorturePlan(1, rounds, scale=SMALL.scale))


@pytest.mark.slow  # the example of the command tries the same
def test_a_bucket_keeps_everything(s3_endpoint: str, fresh: str) -> None:
    report = tortured(f"s3://bucket/{fresh}?endpoint={s3_endpoint}", rounds=1)
    said = {finding.promise: finding.verdict for finding in report.findings}
    assert set(said) == DEPENDS.keys() - {"durable files", "exclusive link or rename", "file names", "file system"}
    assert set(said.values()) == {"passed"}
    (lost,) = [finding.seen for finding in report.findings if finding.promise == "lost responses"]
    assert "interrupted by a time-out" in lost
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
    assert {"create-if-absent", "exclusive create"} <= {finding.promise for finding in report.broken}


@pytest.fixture
def s3(s3_endpoint: str) -> Any:
    return boto3.client("s3", endpoint_url=s3_endpoint)


def looked(endpoint: str, bucket: str, path: str = "data/sheaf") -> tuple[PromiseFinding, PromiseFinding]:
    versions, expiry = check_bucket(ScratchLocation.at(f"s3://{bucket}/{path}?endpoint={endpoint}", StorageOptions()))
    assert (versions.promise, expiry.promise) == ("old versions", "expiry and locks")
    return versions, expiry


def test_old_versions_are_warned_of(s3: Any, s3_endpoint: str) -> None:
    s3.create_bucket(Bucket="versioned")
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    assert [finding.verdict for finding in looked(s3_endpoint, "versioned")] == ["warning", "passed"]
    assert [finding.verdict for finding in looked(s3_endpoint, "bucket")] == ["passed", "passed"]


def test_a_bucket_with_a_lock_is_warned_of(s3: Any, s3_endpoint: str) -> None:
    for bucket in ("lockable", "locked"):
        s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    lockable, locked = (
        ScratchLocation.at(f"s3://{bucket}/x?endpoint={s3_endpoint}", StorageOptions())
        for bucket in ("lockable", "locked")
    )
    assert check_bucket_rules(lockable).verdict == "passed"
    retention = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    s3.put_object_lock_configuration(
        Bucket="locked", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": retention}
    )
    assert check_bucket_rules(locked).verdict == "warning"


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ({"Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}, "failed"),
        ({"Filter": {"Prefix": "data/"}, "Expiration": {"Days": 30}}, "failed"),
        (
            {"Filter": {"Prefix": "data/sheaf/packs/"}, "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]},
            "failed",
        ),
        ({"Filter": {"Prefix": "data/sheaf"}, "Transitions": [{"Days": 1, "StorageClass": "STANDARD_IA"}]}, "passed"),
        ({"Filter": {"Prefix": "other/"}, "Expiration": {"Days": 30}}, "passed"),
        ({"Filter": {"Tag": {"Key": "a", "Value": "b"}}, "Expiration": {"Days": 30}}, "passed"),
        ({"Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 30}}, "passed"),
    ],
)
def test_a_rule_that_expires_objects_is_found_out(
    s3: Any, s3_endpoint: str, fresh: str, rule: dict[str, Any], verdict: str
) -> None:
    bucket = f"rules-{fresh}"
    s3.create_bucket(Bucket=bucket)
    for status, expected in (("Disabled", "passed"), ("Enabled", verdict)):
        rules = [{"ID": "rule", "Status": status, **rule}]
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
        assert looked(s3_endpoint, bucket)[1].verdict == expected


def test_rules_that_can_not_be_read_are_not_tried(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(request: Request, forward: Forward) -> Response:
        is_rules = request.path.endswith(("?lifecycle", "?object-lock"))
        body = b"<Error><Code>AccessDenied</Code></Error>"
        return Response(403, {"content-type": "application/xml"}, body) if is_rules else forward(request)

    with proxy(s3_endpoint, denied) as url:
        expiry = looked(url, "bucket")[1]
        assert expiry.verdict == "skipped" and "AccessDenied" in expiry.seen
    monkeypatch.setitem(sys.modules, "boto3", None)
    expiry = looked(s3_endpoint, "bucket")[1]
    assert expiry.verdict == "skipped" and "sheaf-data[aws]" in expiry.seen
