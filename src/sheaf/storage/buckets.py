"""Builds the client of a bucket from a location: what each cloud calls the same options."""

from __future__ import annotations

import base64
import binascii
import configparser
import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, S3Store

from sheaf.errors import Denied, InvalidInput, NotFound, Unsupported
from sheaf.storage.cloud import ObstoreBackend
from sheaf.storage.options import StorageOptions
from sheaf.storage.oserrors import translated
from sheaf.storage.retry import RetryPolicy

if TYPE_CHECKING:
    from sheaf.storage.place import Location

__all__ = ["open_azure", "open_gcs", "open_s3"]

_CUSTOMER_KEY_BYTES = 32


def open_s3(place: Location) -> ObstoreBackend:
    """``s3://bucket/prefix``."""
    options = place.options
    config = _known(
        endpoint=_s3_endpoint(place),
        region=options.region,
        virtual_hosted_style_request=None if options.path_style is None else not options.path_style,
        skip_signature=options.anonymous or None,
        disable_bulk_delete=True,  # one key at a time: look-alikes lack the bulk call
        **_s3_encryption(options),
    )
    provider = None
    if options.credential:
        config |= _shared_credentials(options.credential, options.profile or "default")
    elif options.profile:
        provider = _profile(options.profile)
        config = {**provider.config, **config}
    store = _built(place, S3Store, config, credential_provider=provider)
    return _backend(place, store, ordered=not place.host.endswith("--x-s3"))  # directory buckets list in no order


def open_gcs(place: Location) -> ObstoreBackend:
    """``gs://bucket/prefix``."""
    options = place.options
    config = _known(base_url=options.endpoint, skip_signature=options.anonymous or None)
    if options.credential:
        config["application_credentials"] = _google_credentials(options.credential)
    return _backend(place, _built(place, GCSStore, config), ordered=True)


def open_azure(place: Location) -> ObstoreBackend:
    """``az://container/prefix``."""
    options = place.options
    if options.credential:
        raise Unsupported("credential= is for s3:// and gs://", "Azure's come from AZURE_STORAGE_… in the environment")
    config = _known(endpoint=options.endpoint, account_name=options.account, skip_signature=options.anonymous or None)
    # Accounts with a hierarchical namespace list in another order, and nothing in an answer tells them.
    return _backend(place, _built(place, AzureStore, config), ordered=False)


def _backend(place: Location, store: S3Store | GCSStore | AzureStore, *, ordered: bool) -> ObstoreBackend:
    options = place.options
    if options.sse and not isinstance(store, S3Store):
        raise Unsupported(f"sse={options.sse} is for s3:// only", "other clouds encrypt by their bucket's settings")
    return ObstoreBackend(
        store,
        f"{place.scheme}://{place.host}" + (f"/{place.path}" if place.path else ""),
        ordered=ordered if options.ordered is None else options.ordered,
        retry=RetryPolicy(options.retries, options.retry_pause_s),
        concurrency=options.concurrency,
    )


def _built(place: Location, kind: Any, config: dict[str, Any], **more: Any) -> Any:
    if not place.host:
        raise InvalidInput(f"{place.scheme}:// names no bucket", f"write {place.scheme}://BUCKET or …/BUCKET/FOLDER")
    client = _client(place.options)
    try:
        return kind(
            place.host,
            prefix=place.path or None,
            config=config,
            client_options=client,
            retry_config={"max_retries": 0},  # RetryPolicy does it: see ObstoreBackend
            **more,
        )
    except Exception as error:
        first = str(error).partition("\n")[0]
        raise InvalidInput(f"can't reach {place.scheme}://{place.host}: {first}", "check the options") from None


def _client(options: StorageOptions) -> dict[str, Any]:
    endpoint = options.endpoint or ""
    plain = endpoint.startswith("http://") if options.allow_http is None else options.allow_http
    return _known(
        allow_http=plain,
        timeout=timedelta(seconds=options.timeout_s),
        connect_timeout=timedelta(seconds=options.connect_timeout_s),
        proxy_url=options.proxy,
        root_certificate=_read(options.ca_file, "ca_file") if options.ca_file else None,
        user_agent="sheaf",
    )


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _s3_endpoint(place: Location) -> str | None:
    endpoint = place.options.endpoint
    if endpoint is None or place.options.path_style is not False:
        return endpoint
    parts = urlsplit(endpoint)  # the library wants the bucket in the host name then
    return parts._replace(netloc=f"{place.host}.{parts.netloc}").geturl()


# ── secrets: from files into the client, and nowhere else ─────────────────────


def _s3_encryption(options: StorageOptions) -> dict[str, Any]:
    if options.sse != "customer":
        if options.sse_customer_key_file:
            raise InvalidInput("sse_customer_key_file= goes with sse=customer")
        return {"server_side_encryption": options.sse, "sse_kms_key_id": options.sse_kms_key_id}
    if not options.sse_customer_key_file:
        raise InvalidInput("sse=customer needs a key", "name its file with sse_customer_key_file=")
    key = _customer_key(options.sse_customer_key_file)
    return {"server_side_encryption": "sse-c", "sse_customer_key_base64": base64.b64encode(key).decode()}


def _customer_key(path: str) -> bytes:
    raw = _read(path, "sse_customer_key_file")
    if len(raw) == _CUSTOMER_KEY_BYTES:
        return raw
    try:
        key = base64.b64decode(raw.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _CUSTOMER_KEY_BYTES:
        raise InvalidInput(f"{path} holds no customer key", f"{_CUSTOMER_KEY_BYTES} bytes, raw or in base64")
    return key


def _shared_credentials(path: str, profile: str) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(_read(path, "credential").decode())
        section = parser[profile]
        found = {
            "access_key_id": section["aws_access_key_id"],
            "secret_access_key": section["aws_secret_access_key"],
        }
    except (configparser.Error, UnicodeDecodeError, KeyError):
        # The parser's own message would quote the line that it could not read.
        raise InvalidInput(
            f"{path} has no AWS credentials for the profile {profile}",
            f"it needs [{profile}] with aws_access_key_id and aws_secret_access_key",
        ) from None
    token = section.get("aws_session_token")
    return found | ({"session_token": token} if token else {})


def _google_credentials(path: str) -> str:
    try:
        kind = json.loads(_read(path, "credential"))["type"]
    except (ValueError, KeyError, TypeError):
        raise InvalidInput(f"{path} is no Google credential file", "it is the JSON that gcloud or IAM gives") from None
    if kind not in {"service_account", "authorized_user"}:
        raise Unsupported(f"{path} is a Google credential of type {kind}", "service_account and authorized_user work")
    return path


def _profile(profile: str) -> Any:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ProfileNotFound
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise Unsupported("AWS profiles need boto3, which is not installed", "pip install 'sheaf-data[aws]'") from error
    try:
        return Boto3CredentialProvider(boto3.Session(profile_name=profile))
    except ProfileNotFound as error:
        raise NotFound(f"there is no AWS profile {profile}", "`aws configure list-profiles` shows them") from error
    except (ValueError, BotoCoreError) as error:
        raise Denied(f"the AWS profile {profile} gives no credentials", f"aws sso login --profile {profile}") from error


def _read(path: str, option: str) -> bytes:
    with translated(f"read {option}={path}"):
        return Path(path).read_bytes()
