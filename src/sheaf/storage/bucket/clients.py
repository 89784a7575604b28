"""Create the client of a bucket from a location, translating the options into each cloud's names."""

from __future__ import annotations

import base64
import binascii
import json
import os
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, S3Store

from sheaf.errors import InvalidInput, Unsupported
from sheaf.storage.bucket.aws_profiles import find_credentials
from sheaf.storage.bucket.metadata_service import check_metadata_service, has_azure_credentials, has_google_credentials
from sheaf.storage.bucket.object_store import ObstoreBackend
from sheaf.storage.bucket.obstore_errors import is_panic
from sheaf.storage.endpoints import check_bucket, check_endpoint
from sheaf.storage.folder.oserrors import translated
from sheaf.storage.storage_options import StorageOptions
from sheaf.storage.wrappers.retry import RetryPolicy

if TYPE_CHECKING:
    from sheaf.storage.location import Location

__all__ = ["open_azure", "open_gcs", "open_s3"]

_CUSTOMER_KEY_BYTES = 32


def open_s3(location: Location) -> ObstoreBackend:
    """Open ``s3://bucket/prefix``."""
    options = location.options
    config = _known(
        endpoint=_s3_endpoint(location),
        region=options.region,
        virtual_hosted_style_request=None if options.path_style is None else not options.path_style,
        skip_signature=options.anonymous or None,
        # Delete one key at a time: some S3 look-alikes lack the bulk call.
        disable_bulk_delete=True,
        **_s3_encryption(options),
    )
    _check_variables("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
    found = find_credentials(options, os.environ)  # noqa: TID251 - the cloud's own chain, as its library reads it
    store = _built(location, S3Store, {**found.config, **config}, credential_provider=found.provider)
    # Directory buckets list keys in no particular order.
    return _backend(location, store, ordered=not location.host.endswith("--x-s3"), is_sure=found.is_sure)


def open_gcs(location: Location) -> ObstoreBackend:
    """Open ``gs://bucket/prefix``."""
    options = location.options
    config = _known(base_url=options.endpoint, skip_signature=options.anonymous or None)
    if options.credential:
        config["application_credentials"] = _google_credentials(options.credential)
    _check_variables("GOOGLE_BASE_URL")
    is_sure = options.anonymous or bool(options.credential) or has_google_credentials(os.environ)  # noqa: TID251 - as above
    return _backend(location, _built(location, GCSStore, config), ordered=True, is_sure=is_sure)


def open_azure(location: Location) -> ObstoreBackend:
    """Open ``az://container/prefix``."""
    options = location.options
    if options.credential:
        raise Unsupported("credential= is only for s3:// and gs://", "set AZURE_STORAGE_… in the environment")
    config = _known(endpoint=options.endpoint, account_name=options.account, skip_signature=options.anonymous or None)
    is_sure = options.anonymous or has_azure_credentials(os.environ)  # noqa: TID251 - as above
    # Accounts with a hierarchical namespace list in another order, and no response shows which accounts these are.
    return _backend(location, _built(location, AzureStore, config), ordered=False, is_sure=is_sure)


def _backend(
    location: Location, store: S3Store | GCSStore | AzureStore, *, ordered: bool, is_sure: bool
) -> ObstoreBackend:
    """Wrap a client. ``is_sure``: there are credentials or none are needed; else only the metadata service may have some."""
    options = location.options
    if options.sse and not isinstance(store, S3Store):
        raise Unsupported(f"sse={options.sse} is only for s3://", "set the encryption in the settings of the bucket")
    url = f"{location.scheme}://{location.host}" + (f"/{location.path}" if location.path else "")
    return ObstoreBackend(
        store,
        url,
        ordered=ordered if options.ordered is None else options.ordered,
        retry=RetryPolicy(options.retries, options.retry_pause_s),
        concurrency=options.concurrency,
        ready=None if is_sure else partial(check_metadata_service, location.scheme, url, os.environ),  # noqa: TID251 - as above
    )


def _built(location: Location, kind: Any, config: dict[str, Any], **more: Any) -> Any:
    check_bucket(location.scheme, location.host)
    client = _client(location.options)
    try:
        return kind(
            location.host,
            prefix=location.path or None,
            config=config,
            client_options=client,
            # RetryPolicy does the retries: see ObstoreBackend.
            retry_config={"max_retries": 0},
            **more,
        )
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        first = str(error).partition("\n")[0]
        if "Account must be specified" in first:
            raise InvalidInput(
                f"az://{location.host}: no storage account given",
                "set AZURE_STORAGE_ACCOUNT_NAME, or add ?account=NAME to the URL",
            ) from None
        raise InvalidInput(
            f"can't reach {location.scheme}://{location.host}: {first}", "check the options in the URL"
        ) from None


def _check_variables(*names: str) -> None:
    """Raise InvalidInput for an invalid endpoint in the environment, from where the library reads it by itself."""
    for name in names:
        if url := os.environ.get(name):  # noqa: TID251 - as above
            check_endpoint(name, url)


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


def _s3_endpoint(location: Location) -> str | None:
    endpoint = location.options.endpoint
    if endpoint is None or location.options.path_style is not False:
        return endpoint
    # With host-style addressing the library expects the bucket in the endpoint's host name.
    parts = urlsplit(endpoint)
    return parts._replace(netloc=f"{location.host}.{parts.netloc}").geturl()


# ── secrets: read from files and passed only to the client ────────────────────


def _s3_encryption(options: StorageOptions) -> dict[str, Any]:
    if options.sse != "customer":
        if options.sse_customer_key_file:
            raise InvalidInput("sse_customer_key_file= requires sse=customer")
        return {"server_side_encryption": options.sse, "sse_kms_key_id": options.sse_kms_key_id}
    if not options.sse_customer_key_file:
        raise InvalidInput("sse=customer requires a key", "give its file with sse_customer_key_file=")
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
        raise InvalidInput(f"{path} is not a customer key", f"give {_CUSTOMER_KEY_BYTES} bytes, raw or in base64")
    return key


def _google_credentials(path: str) -> str:
    try:
        kind = json.loads(_read(path, "credential"))["type"]
    except (ValueError, KeyError, TypeError):
        raise InvalidInput(f"{path} is not a Google credential file", "give the JSON from gcloud or IAM") from None
    if kind not in {"service_account", "authorized_user"}:
        raise Unsupported(f"{path} is a Google credential of type {kind}", "use service_account or authorized_user")
    return path


def _read(path: str, option: str) -> bytes:
    with translated(f"read {option}={path}"):
        return Path(path).read_bytes()
