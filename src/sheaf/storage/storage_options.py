"""The options for reaching a store, apart from its URL."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from sheaf.errors import InvalidInput
from sheaf.storage.endpoints import check_endpoint, check_name, check_proxy

__all__ = ["StorageOptions"]


class StorageOptions(Struct, frozen=True):
    """How to reach a store. None means "not set": the cloud's own configuration or the default decides.

    Each field can also be in the URL's query, which has priority. No field contains a secret; fields name files that do.
    Raises ``InvalidInput``, naming the field, for an invalid value.
    """

    #: Base URL of an S3, GCS or Azure look-alike, such as ``http://127.0.0.1:9000``.
    endpoint: str | None = None
    region: str | None = None
    #: Whether the bucket's name is in the path rather than in the host name; by default so if there is an endpoint.
    path_style: bool | None = None
    #: Whether plain HTTP is allowed; by default only if the endpoint begins with ``http://``.
    allow_http: bool | None = None
    #: PEM file of the certificate authorities to trust in addition to the system's.
    ca_file: str | None = None
    proxy: str | None = None
    #: How often a failed request is repeated.
    retries: int = 5
    #: The longest pause before the first repetition, in seconds; it doubles for each later one, up to 10 s.
    retry_pause_s: float = 0.2
    #: Time limit of one request with its whole body, in seconds: a pack of 32 MiB needs 112 KB a second.
    timeout_s: float = 300.0
    connect_timeout_s: float = 10.0
    #: Bytes per second in each direction; None = unlimited.
    limit_rate: int | None = None
    #: A credential file: Google service account or application default, or an AWS shared-credentials file.
    credential: str | None = None
    #: An AWS profile; profiles with single sign-on, roles or processes require the extra ``aws``.
    profile: str | None = None
    #: Whether to send no credentials at all, for public buckets.
    anonymous: bool = False
    #: Azure: the storage account.
    account: str | None = None
    #: S3 server-side encryption.
    sse: Literal["AES256", "aws:kms", "customer"] | None = None
    sse_kms_key_id: str | None = None
    #: File with the customer's key: 32 bytes, raw or in base64.
    sse_customer_key_file: str | None = None
    #: File with a key of an encrypted store (``sheaf store init --encrypt``).
    key_file: str | None = None
    #: Requests to the store that may run at the same time.
    concurrency: int = 32
    #: Whether the store lists keys in ascending order; None = as usual for its kind.
    ordered: bool | None = None
    #: Folder stores: whether a create survives a power cut (``full``) or only the process (``none``).
    durability: Literal["full", "none"] = "full"
    #: Folder stores: ``group`` lets the folder's group read and write.
    shared: Literal["", "group"] = ""

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            # A comparison with NaN is never true, so this rejects it, too.
            if value is not None and not least <= value <= most:
                raise InvalidInput(f"option {name}={value} is out of range", f"give a value from {least:g} to {most:g}")
        if self.limit_rate is not None and self.limit_rate < 1:
            raise InvalidInput(f"limit_rate must be positive, not {self.limit_rate}", "omit limit_rate for no limit")
        for name, check in _CHECKS.items():
            text = getattr(self, name)
            if text is not None:
                check(name, text)

    def merged(self, query: dict[str, str]) -> StorageOptions:
        """Return these options, replaced by those of a URL's query. Raises ``InvalidInput``, naming the option."""
        types_of = typing.get_type_hints(type(self))
        for name in query:
            if name not in types_of:
                import difflib  # only for mistyped words

                near = difflib.get_close_matches(name, types_of, 1)
                known = f"known ones: {', '.join(sorted(types_of))}"
                hint = f"did you mean {near[0]}? {known}" if near else known
                raise InvalidInput(f"unknown option {name!r} in the store's URL", hint)
        said: dict[str, Any] = {name: _parse(name, text, types_of[name]) for name, text in query.items()}
        return replace(self, **said)


def _parse(name: str, text: str, kind: Any) -> object:
    choices = [choice for part in _members(kind) for choice in typing.get_args(part)]
    if choices:
        return _choice(name, text, choices)
    try:
        return next(_READERS[part](text) for part in _members(kind) if part in _READERS)
    except (ValueError, KeyError) as error:
        hint = next(_EXPECTED[part] for part in _members(kind) if part in _EXPECTED)
        raise InvalidInput(f"invalid value {text!r} for option {name}", hint) from error


def _choice(name: str, text: str, choices: list[str]) -> str:
    if text not in choices:
        raise InvalidInput(f"invalid value {text!r} for option {name}", f"choose one of: {', '.join(choices)}")
    return text


def _members(kind: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(kind) in (types.UnionType, typing.Union)
    return typing.get_args(kind) if is_union else (kind,)


_BOOLS = dict.fromkeys(("", "1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)

_EXPECTED: Final[Mapping[Any, str]] = {
    bool: "write yes or no",
    int: "write a whole number",
    float: "write a number",
    str: "write some text",
}
_LONG_S: Final = 1e9
#: The numbers that work. With others the libraries fail, wait endlessly, or never wait.
_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "retries": (0, 1_000_000),
    "retry_pause_s": (0, _LONG_S),
    "timeout_s": (0.001, _LONG_S),
    "connect_timeout_s": (0.001, _LONG_S),
    "concurrency": (1, 1_000_000),
}
_CHECKS: Final = {
    "endpoint": check_endpoint,
    "proxy": check_proxy,
    "region": check_name,
    "account": check_name,
}

_READERS: dict[Any, Any] = {
    bool: lambda text: _BOOLS[text.lower()],
    int: int,
    float: float,
    str: str,
}
