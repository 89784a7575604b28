"""What the options of a bucket's URL do to the requests; and that secrets go into requests and nowhere else."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.servers.proxy import Forward, Request, Response, proxy

from sheaf.errors import Denied, InvalidInput, NotFound, SheafError, Unavailable, Unsupported
from sheaf.storage.bucket.clients import _s3_endpoint
from sheaf.storage.open import open_backend, parse_location
from sheaf.storage.port import Backend, Created
from sheaf.storage.storage_options import StorageOptions

KEY = bytes(range(32))


@pytest.fixture
def seen() -> list[Request]:
    return []


@pytest.fixture
def recorded(s3_endpoint: str, seen: list[Request]) -> Iterator[str]:
    """The endpoint of a server whose requests are in ``seen``."""

    def record(request: Request, forward: Forward) -> Response:
        seen.append(request)
        return forward(request)

    with proxy(s3_endpoint, record) as url:
        yield url


@pytest.fixture(params=["raw", "base64"])
def key_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "customer.key"
    path.write_bytes(KEY if request.param == "raw" else base64.b64encode(KEY) + b"\n")
    return path


def use(backend: Backend) -> None:
    """Every kind of request."""
    backend.create("k/a", b"0123456789")
    backend.create("k/a", b"other")
    backend.get("k/a")
    backend.get_ranges("k/a", [(1, 2)])
    backend.stat("k/a")
    list(backend.list("k/"))
    backend.newest("k/")
    backend.delete("k/a")


# ── encryption ────────────────────────────────────────────────────────────────


def test_the_customers_key_goes_with_every_request_for_an_object(
    recorded: str, seen: list[Request], key_file: Path, fresh: str
) -> None:
    use(open_backend(f"s3://bucket/{fresh}?endpoint={recorded}&sse=customer&sse_customer_key_file={key_file}"))
    about_objects = [
        request for request in seen if request.method in {"PUT", "GET", "HEAD"} and "?" not in request.path
    ]
    assert {request.method for request in about_objects} == {"PUT", "GET", "HEAD"}
    start = "x-amz-server-side-encryption-customer"
    for request in about_objects:
        assert request.headers[f"{start}-algorithm"] == "AES256"
        assert request.headers[f"{start}-key"] == base64.b64encode(KEY).decode()
        assert request.headers[f"{start}-key-md5"] == base64.b64encode(hashlib.md5(KEY).digest()).decode()


def test_the_customers_key_is_shown_nowhere(key_file: Path) -> None:
    url = f"s3://bucket/p?endpoint=http://127.0.0.1:9&retries=0&sse=customer&sse_customer_key_file={key_file}"
    backend = open_backend(url)
    shown = [backend.url, repr(backend), str(vars(backend)), repr(parse_location(url, StorageOptions()))]
    for call in (lambda: backend.get("a"), lambda: backend.create("a", b""), lambda: list(backend.list())):
        with pytest.raises(SheafError) as caught:
            call()
        shown += [str(caught.value), repr(caught.value), caught.value.hint, str(caught.value.__cause__)]
    for text in shown:
        assert base64.b64encode(KEY).decode() not in text
        assert repr(KEY)[2:-1] not in text


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33, base64.b64encode(b"x" * 16), b"\xff" * 31])
def test_a_file_that_holds_no_customer_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.key"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"bad\.key is not a customer key") as caught:
        open_backend(f"s3://bucket?sse=customer&sse_customer_key_file={path}")
    assert not content or content.decode("latin1") not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("sse=AES256", {"x-amz-server-side-encryption": "AES256"}),
        (
            "sse=aws:kms&sse_kms_key_id=key-7",
            {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "key-7"},
        ),
    ],
)
def test_encryption_by_the_server_is_asked_for(
    recorded: str, seen: list[Request], fresh: str, query: str, headers: dict[str, str]
) -> None:
    open_backend(f"s3://bucket/{fresh}?endpoint={recorded}&{query}").create("a", b"x")
    assert headers.items() <= seen[0].headers.items()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sse=customer", "requires a key"),
        ("sse_customer_key_file=/x", "requires sse=customer"),
        ("sse=rot13", "invalid value 'rot13'"),
    ],
)
def test_encryption_options_that_do_not_fit_are_refused(query: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        open_backend(f"s3://bucket?{query}")


def test_encryption_of_other_clouds_is_unsupported(gcs_credential: Path) -> None:
    with pytest.raises(Unsupported, match="only for s3://"):
        open_backend(f"gs://bucket?sse=AES256&credential={gcs_credential}")


# ── credentials ───────────────────────────────────────────────────────────────


def test_a_credentials_file_is_used(recorded: str, seen: list[Request], fresh: str, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(
        "[default]\naws_access_key_id = FIRST\naws_secret_access_key = s%1\n"
        "[team]\naws_access_key_id = SECOND\naws_secret_access_key = s2\naws_session_token = token\n"
    )
    for query, name in (("", "FIRST"), ("&profile=team", "SECOND")):
        open_backend(f"s3://bucket/{fresh}?endpoint={recorded}&credential={path}{query}").stat("a")
        assert f"Credential={name}/" in seen[-1].headers["authorization"]
    assert seen[-1].headers["x-amz-security-token"] == "token"


@pytest.mark.parametrize("text", ["", "[other]\naws_access_key_id=SECRET\n", "SECRET garbage", "[default]\nSECRET"])
def test_a_credentials_file_without_credentials_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials"
    path.write_text(text)
    with pytest.raises(InvalidInput, match="no AWS credentials") as caught:
        open_backend(f"s3://bucket?credential={path}")
    assert "SECRET" not in f"{caught.value}{caught.value.hint}"
    assert caught.value.__suppress_context__


def test_a_missing_credentials_file_is_named(tmp_path: Path) -> None:
    for scheme in ("s3", "gs"):
        with pytest.raises(NotFound, match=r"credential=.*/none"):
            open_backend(f"{scheme}://bucket?credential={tmp_path}/none")


@dataclass
class Aws:
    """The files and variables of a user of AWS's own tools."""

    home: Path
    monkeypatch: pytest.MonkeyPatch

    def write(self, credentials: str = "", config: str = "") -> None:
        (self.home / ".aws").mkdir(exist_ok=True)
        (self.home / ".aws" / "credentials").write_text(credentials)
        (self.home / ".aws" / "config").write_text(config)

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """A user without any credentials, on a machine without boto3."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "boto3", None)
    return Aws(tmp_path, monkeypatch)


def keys(name: str, more: str = "") -> str:
    return f"aws_access_key_id = {name}\naws_secret_access_key = s%1=/+\n{more}"


def signed_by(seen: list[Request], url: str) -> str:
    """Whose request reaches the server, and for which region."""
    open_backend(url).stat("a")
    return seen[-1].headers["authorization"].partition("Credential=")[2].partition("/")[0]


def test_the_default_profile_of_the_shared_files_is_used(
    recorded: str, seen: list[Request], fresh: str, aws: Aws
) -> None:
    url = f"s3://bucket/{fresh}?endpoint={recorded}"
    aws.write(
        f"[default]\n{keys('FILE', 'aws_session_token = token')}\n[team]\n{keys('TEAM')}",
        "[default]\nregion = eu-west-1\n",
    )
    assert signed_by(seen, url) == "FILE"
    assert "/eu-west-1/" in seen[-1].headers["authorization"]
    assert seen[-1].headers["x-amz-security-token"] == "token"
    assert signed_by(seen, f"{url}&profile=team") == "TEAM"
    aws.set(AWS_PROFILE="team")
    assert signed_by(seen, url) == "TEAM"
    aws.set(AWS_ACCESS_KEY_ID="VARIABLE", AWS_SECRET_ACCESS_KEY="s")
    assert signed_by(seen, url) == "VARIABLE"
    assert signed_by(seen, f"{url}&profile=team") == "TEAM"


def test_profiles_of_the_configuration_file_count_after_those_of_the_credentials(
    recorded: str, seen: list[Request], fresh: str, aws: Aws
) -> None:
    url = f"s3://bucket/{fresh}?endpoint={recorded}"
    config = f'[default]\n{keys("CONFIG")}s3 =\n  max_concurrent_requests = 20\n[profile "a team"]\n{keys("TEAM")}'
    aws.write(config=config)
    assert signed_by(seen, url) == "CONFIG"
    assert signed_by(seen, f"{url}&profile=a%20team") == "TEAM"
    aws.write(f"\ufeff# mine\n[default]\n{keys('CREDENTIALS')}", config)
    assert signed_by(seen, url) == "CREDENTIALS"


def test_the_shared_files_may_lie_elsewhere(
    recorded: str, seen: list[Request], fresh: str, aws: Aws, tmp_path: Path
) -> None:
    (tmp_path / "k").write_text(f"[default]\n{keys('ELSEWHERE')}")
    (tmp_path / "c").write_text("[default]\nregion = ap-south-1\n")
    aws.set(AWS_SHARED_CREDENTIALS_FILE="~/k", AWS_CONFIG_FILE=str(tmp_path / "c"))
    assert signed_by(seen, f"s3://bucket/{fresh}?endpoint={recorded}") == "ELSEWHERE"
    assert "/ap-south-1/" in seen[-1].headers["authorization"]
    aws.set(AWS_REGION="eu-north-1")
    assert signed_by(seen, f"s3://bucket/{fresh}?endpoint={recorded}") == "ELSEWHERE"
    assert "/eu-north-1/" in seen[-1].headers["authorization"]


@pytest.mark.parametrize("text", ["SECRET garbage", "[default]\nSECRET", "[default\naws_secret_access_key = SECRET"])
def test_shared_files_that_make_no_sense_are_named_without_showing_them(aws: Aws, text: str) -> None:
    aws.write(text)
    with pytest.raises(InvalidInput, match=r"~/\.aws/credentials, line \d is not") as caught:
        open_backend("s3://bucket")
    assert "SECRET" not in f"{caught.value}{caught.value.hint}"
    assert caught.value.__suppress_context__


def test_a_profile_that_is_not_there_is_named(aws: Aws) -> None:
    aws.write(f"[default]\n{keys('FILE')}", "[profile empty]\nregion = x\n")
    with pytest.raises(NotFound, match="AWS profile nobody not found"):
        open_backend("s3://bucket?profile=nobody")
    with pytest.raises(Denied, match="profile empty has no credentials"):
        open_backend("s3://bucket?profile=empty")
    aws.set(AWS_PROFILE="nobody")
    with pytest.raises(NotFound, match="AWS profile nobody not found"):
        open_backend("s3://bucket")


@pytest.mark.parametrize("line", ["sso_session = x", "role_arn = arn:aws:iam::1:role/r", "credential_process = /bin/x"])
def test_an_aws_profile_without_boto3_says_what_to_install(aws: Aws, line: str) -> None:
    aws.write(config=f"[profile team]\n{line}\n[default]\n{line}\n")
    for url in ("s3://bucket?profile=team", "s3://bucket"):
        with pytest.raises(Unsupported, match="boto3") as caught:
            open_backend(url)
        assert "sheaf-data[aws]" in caught.value.hint


def test_a_profile_that_takes_boto3_is_used(
    recorded: str, seen: list[Request], fresh: str, tmp_path: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "boto3")
    program = tmp_path / "credentials.sh"
    program.write_text('#!/bin/sh\necho \'{"Version": 1, "AccessKeyId": "PROCESS", "SecretAccessKey": "s"}\'\n')
    program.chmod(0o700)
    aws.write(config=f"[profile team]\nregion = eu-west-1\ncredential_process = {program}\n")
    assert signed_by(seen, f"s3://bucket/{fresh}?endpoint={recorded}&profile=team") == "PROCESS"
    assert "/eu-west-1/" in seen[-1].headers["authorization"]


def test_without_any_credentials_the_caller_is_told(aws: Aws, s3_endpoint: str) -> None:
    asked = []

    def not_found(request: Request, _forward: Forward) -> Response:
        asked.append(request)
        return Response(502 if len(asked) % 2 else 404)  # a proxy's answer, and a metadata service's without a role

    with proxy(s3_endpoint, not_found) as metadata:
        for address in (metadata, "http://127.0.0.1:9"):
            aws.set(AWS_METADATA_ENDPOINT=address)
            backend = open_backend(f"s3://bucket?endpoint={s3_endpoint}&retry_pause_s=0")
            for call in (partial(backend.stat, "a"), partial(backend.create, "a", b""), partial(backend.newest, "")):
                with pytest.raises(Denied, match="no credentials found") as caught:
                    call()
                assert "AWS_ACCESS_KEY_ID" in caught.value.hint
                assert "--profile" in caught.value.hint
    assert len(asked) <= 4  # one for each call and no retries; an IMDS client may ask twice
    aws.set(AWS_EC2_METADATA_DISABLED="true", AWS_METADATA_ENDPOINT=s3_endpoint)
    with pytest.raises(Denied, match="no credentials found"):
        open_backend("s3://bucket").get("a")


@pytest.mark.parametrize(
    ("scheme", "words"),
    [("gs", ["GOOGLE_APPLICATION_CREDENTIALS", "gcloud"]), ("az", ["AZURE_STORAGE_ACCOUNT_KEY", "az login"])],
)
def test_each_cloud_has_its_own_hint(
    scheme: str, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "AZURE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("sheaf.storage.bucket.metadata_service._ADDRESS", "http://127.0.0.1:9")
    with pytest.raises(Denied, match="no credentials found") as caught:
        open_backend(f"{scheme}://bucket?account=acc").get("a")
    assert all(word in caught.value.hint for word in words)
    assert "profile" not in caught.value.hint


def test_a_missing_azure_account_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    with pytest.raises(InvalidInput, match="no storage account") as caught:
        open_backend("az://container")
    assert "AZURE_STORAGE_ACCOUNT_NAME" in caught.value.hint


@pytest.mark.parametrize("name", ["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "GOOGLE_BASE_URL"])
def test_endpoints_of_the_clouds_own_variables_are_judged(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "minio:9000")
    with pytest.raises(InvalidInput, match=f"{name} 'minio:9000' has no scheme"):
        open_backend("gs://bucket?anonymous=yes" if name.startswith("G") else "s3://bucket")


def test_anonymous_requests_are_not_signed(recorded: str, seen: list[Request], fresh: str) -> None:
    backend = open_backend(f"s3://bucket/{fresh}?endpoint={recorded}&anonymous=yes")
    with pytest.raises(SheafError):
        backend.get("a")
    assert "authorization" not in seen[-1].headers


@pytest.mark.parametrize("content", ["", "[]", "{}", "not json"])
def test_a_file_that_is_no_google_credential_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "adc.json"
    path.write_text(content)
    with pytest.raises(InvalidInput, match="not a Google credential"):
        open_backend(f"gs://bucket?credential={path}")


def test_a_google_credential_of_another_type_is_unsupported(tmp_path: Path) -> None:
    path = tmp_path / "adc.json"
    path.write_text(json.dumps({"type": "external_account"}))
    with pytest.raises(Unsupported, match="external_account"):
        open_backend(f"gs://bucket?credential={path}")


def test_an_azure_credential_file_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="credential"):
        open_backend(f"az://container?credential={tmp_path}/x")


# ── the way there ─────────────────────────────────────────────────────────────


def test_requests_go_through_the_proxy(s3_endpoint: str, seen: list[Request], fresh: str) -> None:
    def record(request: Request, forward: Forward) -> Response:
        seen.append(request)
        return forward(replace(request, path=request.path.removeprefix("http://store.invalid")))

    with proxy(s3_endpoint, record) as url:
        open_backend(f"s3://bucket/{fresh}?endpoint=http://store.invalid&proxy={url}").create("a", b"x")
    assert seen[0].path == f"http://store.invalid/bucket/{fresh}/a"


def test_the_region_is_in_the_signature(recorded: str, seen: list[Request], fresh: str) -> None:
    open_backend(f"s3://bucket/{fresh}?endpoint={recorded}&region=ap-south-1").stat("a")
    assert "/ap-south-1/s3/" in seen[0].headers["authorization"]


def test_plain_http_may_be_forbidden(recorded: str, seen: list[Request]) -> None:
    backend = open_backend(f"s3://bucket?endpoint={recorded}&allow_http=no")
    with pytest.raises(InvalidInput, match="plain HTTP"):
        backend.get("a")
    assert not seen


def test_the_bucket_stands_in_the_host_name_if_asked() -> None:
    for query, expected in (
        ("", "https://s3.example"),
        ("&path_style=yes", "https://s3.example"),
        ("&path_style=no", "https://bucket.s3.example"),
    ):
        place = parse_location(f"s3://bucket/x?endpoint=https://s3.example{query}", StorageOptions())
        assert _s3_endpoint(place) == expected


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Key and self-signed certificate of 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    signed = builder.add_extension(address, critical=False).sign(key, SHA256())
    path = tmp_path / "server.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + signed.public_bytes(Encoding.PEM))
    (tmp_path / "ca.pem").write_bytes(signed.public_bytes(Encoding.PEM))
    return path


def test_a_private_authority_is_trusted_if_its_certificate_is_given(
    s3_endpoint: str, certificate: Path, fresh: str
) -> None:
    with proxy(s3_endpoint, lambda request, forward: forward(request), certificate) as url:
        common = f"s3://bucket/{fresh}?endpoint={url}&retries=0"
        with pytest.raises(Unavailable, match="certificate is not trusted") as caught:
            open_backend(common).get("a")
        assert "ca_file" in caught.value.hint
        backend = open_backend(f"{common}&ca_file={certificate.with_name('ca.pem')}")
        assert backend.create("a", b"1") is Created.CREATED


def test_a_certificate_file_must_be_there_and_be_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="ca_file"):
        open_backend(f"s3://bucket?ca_file={tmp_path}/none.pem")
    (tmp_path / "bad.pem").write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    with pytest.raises(InvalidInput):
        open_backend(f"s3://bucket?ca_file={tmp_path}/bad.pem").get("a")


def test_a_prefix_may_have_folders(recorded: str, seen: list[Request], fresh: str) -> None:
    backend = open_backend(f"s3://bucket/{fresh}/team/store/?endpoint={recorded}")
    backend.create("a/b", b"1")
    assert seen[0].path == f"/bucket/{fresh}/team/store/a/b"
    assert backend.url == f"s3://bucket/{fresh}/team/store"
    assert [stat.key for stat in backend.list()] == ["a/b"]


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_url_without_a_bucket_is_refused(scheme: str) -> None:
    with pytest.raises(InvalidInput, match="has no bucket name"):
        open_backend(f"{scheme}:///folder?account=a&anonymous=yes")


def test_directory_buckets_are_known_to_list_in_no_order() -> None:
    assert not open_backend("s3://team--use1-az4--x-s3").ordered
    assert open_backend("s3://team").ordered
    assert not open_backend("s3://team?ordered=no").ordered
