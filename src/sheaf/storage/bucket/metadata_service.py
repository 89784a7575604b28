"""Check quickly whether a cloud's metadata service, the last source of credentials, can be reached at all."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sheaf.errors import Denied
from sheaf.storage.bucket.obstore_errors import NO_CREDENTIALS

__all__ = ["check_metadata_service", "has_azure_credentials", "has_google_credentials"]

_ADDRESS: Final = "http://169.254.169.254"  # the same in all three clouds
_WAIT_S: Final = 1.0  # the timeout of AWS's own tools
_ELSEWHERE: Final = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")


def check_metadata_service(scheme: str, url: str, environ: Mapping[str, str]) -> None:
    """Raise Denied if there is no response at the metadata service's address. For a store without other credentials."""
    if scheme == "s3" and any(environ.get(name) for name in _ELSEWHERE):
        return
    is_off = scheme == "s3" and environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    address = environ.get("AWS_METADATA_ENDPOINT") or _ADDRESS
    if is_off or not _answers(address if scheme == "s3" else _ADDRESS):
        raise Denied(f"no credentials found for {url}", NO_CREDENTIALS[scheme])


def _answers(address: str) -> bool:
    try:
        parts = urlsplit(address)
        socket.create_connection((parts.hostname or "", parts.port or 80), _WAIT_S).close()
    except (OSError, ValueError):
        return False
    return True


def has_google_credentials(environ: Mapping[str, str]) -> bool:
    """True if a source other than the metadata service may give credentials for Google's storage."""
    adc = Path("~/.config/gcloud/application_default_credentials.json").expanduser()
    return any(name.startswith("GOOGLE_") and value for name, value in environ.items()) or adc.exists()


def has_azure_credentials(environ: Mapping[str, str]) -> bool:
    """True if a source other than the metadata service may give credentials for Azure's storage."""
    said = {name for name, value in environ.items() if name.startswith("AZURE_") and value}
    return bool(said - {"AZURE_STORAGE_ACCOUNT_NAME"}) or bool(environ.get("IDENTITY_ENDPOINT"))
