"""Translate obstore's exceptions into Sheaf's. No other module knows them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from obstore import exceptions as foreign

from sheaf.errors import (
    Bug,
    Corrupt,
    Denied,
    InvalidInput,
    NoSpace,
    NotFound,
    Refused,
    SheafError,
    Unavailable,
    Unsupported,
)

__all__ = ["BY_CLASS", "NO_CREDENTIALS", "ForeignAnswer", "is_panic", "translate"]

_RIGHTS = "check the credentials and their permissions on this bucket; `sheaf store info` shows which are used"
_AGAIN = "wait and try again, or raise retries= and timeout_s= in the store's URL"


class ForeignAnswer(Exception):
    """The text of the library's error without signatures and keys: the cause that ``--debug`` shows."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    category: type[SheafError]
    hint: str = ""


#: By the class of the error, if its text has no HTTP status. Every class of the library is listed.
BY_CLASS: dict[type[BaseException], _Meaning] = {
    FileNotFoundError: _Meaning(NotFound),
    foreign.PermissionDeniedError: _Meaning(Denied, _RIGHTS),
    foreign.UnauthenticatedError: _Meaning(Denied, _RIGHTS),
    foreign.AlreadyExistsError: _Meaning(Unavailable, _AGAIN),
    foreign.PreconditionError: _Meaning(Unavailable, _AGAIN),
    foreign.NotModifiedError: _Meaning(Unavailable, _AGAIN),
    foreign.NotSupportedError: _Meaning(Unsupported, "this kind of store does not support that"),
    foreign.InvalidPathError: _Meaning(InvalidInput),
    foreign.UnknownConfigurationKeyError: _Meaning(
        InvalidInput, "remove the option that this kind of store does not have"
    ),
    foreign.JoinError: _Meaning(Bug),
    foreign.GenericError: _Meaning(Unavailable, _AGAIN),
    foreign.BaseError: _Meaning(Unavailable, _AGAIN),
    NotImplementedError: _Meaning(Unsupported, "this kind of store does not support that"),
    ValueError: _Meaning(InvalidInput),
    OSError: _Meaning(Unavailable, _AGAIN),
    TimeoutError: _Meaning(Unavailable, _AGAIN),
}

_BY_STATUS: dict[int, _Meaning] = {
    301: _Meaning(InvalidInput, "the bucket is in another region: set region="),
    307: _Meaning(InvalidInput, "the bucket is in another region: set region="),
    400: _Meaning(Refused, "check region, encryption and the other options in the store's URL"),
    401: _Meaning(Denied, _RIGHTS),
    403: _Meaning(Denied, _RIGHTS),
    404: _Meaning(NotFound),
    405: _Meaning(Unsupported, "the store does not support this request"),
    408: _Meaning(Unavailable, _AGAIN),
    409: _Meaning(Unavailable, _AGAIN),
    411: _Meaning(Unsupported, "the store does not support this request"),
    412: _Meaning(Unavailable, _AGAIN),
    413: _Meaning(NoSpace, "the store does not accept objects of this size"),
    416: _Meaning(Corrupt, "run `sheaf store check`"),
    429: _Meaning(Unavailable, _AGAIN),
    501: _Meaning(Unsupported, "the store does not support this request"),
    507: _Meaning(NoSpace, "free space in the store or raise its quota, then run the same command again"),
}

#: By the store's own code, which is more specific than the status.
_BY_CODE: dict[str, _Meaning] = {
    "RequestTimeout": _Meaning(Unavailable, _AGAIN),
    "QuotaExceeded": _Meaning(NoSpace, "raise the quota, then run the same command again"),
    "XMinioStorageFull": _Meaning(NoSpace, "free space in the store, then run the same command again"),
    "EntityTooLarge": _Meaning(NoSpace, "the store does not accept objects of this size"),
    "NoSuchBucket": _Meaning(NotFound, "create the bucket first, or check its name"),
    "ContainerNotFound": _Meaning(NotFound, "create the container first, or check its name"),
    "ExpiredToken": _Meaning(Denied, "the session token has expired: log in again"),
    "RequestTimeTooSkewed": _Meaning(Denied, "correct this machine's clock"),
    "AuthorizationHeaderMalformed": _Meaning(InvalidInput, "the bucket is in another region: set region="),
    "InvalidAccessKeyId": _Meaning(Denied, _RIGHTS),
}

#: By words in a text without a status, which means that the request got no response.
_BY_WORDS: list[tuple[re.Pattern[str], str, _Meaning]] = [
    (
        re.compile(r"non-partial response", re.I),
        "the store ignores byte ranges",
        _Meaning(Unsupported, "choose another store: Sheaf requires byte ranges"),
    ),
    (
        re.compile(r"Wanted range starting|CONTENT_RANGE header|error: Requested .*, got ", re.I),
        "the object ends before the requested range",
        _Meaning(Corrupt, "run `sheaf store check`"),
    ),
    (
        re.compile(r"certificate|UnknownIssuer|InvalidCertificate", re.I),
        "the server's certificate is not trusted",
        _Meaning(Unavailable, "give the certificate of its authority with ca_file="),
    ),
    (
        re.compile(r"URL scheme is not allowed|BadScheme", re.I),
        "plain HTTP is not allowed",
        _Meaning(InvalidInput, "set allow_http=true to allow it"),
    ),
    (
        re.compile(r"dns error|failed to lookup address", re.I),
        "the host name is not known",
        _Meaning(Unavailable, "check the endpoint and the network"),
    ),
    (
        re.compile(r"connection refused|ConnectionRefused", re.I),
        "the connection was refused",
        _Meaning(Unavailable, "check the endpoint, and that the server is running"),
    ),
    (re.compile(r"timed out|TimedOut|timeout", re.I), "the request timed out", _Meaning(Unavailable, _AGAIN)),
]

#: Requests for credentials rather than for our objects: a 404 there does not mean that a key is missing.
_CREDENTIALS = re.compile(
    r"Error performing \w+ \S*?(latest/api/token|latest/meta-data|//169\.254\.|computeMetadata|metadata/identity"
    r"|/oauth2?/|oauth2\.googleapis|//sts\.|Action=AssumeRole)"
)
_PUBLIC = "for a public bucket, add ?anonymous=true to the URL"
#: Where credentials can come from, by the scheme of the store's URL.
NO_CREDENTIALS: dict[str, str] = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or choose a profile of ~/.aws with --profile NAME or "
    f"AWS_PROFILE; {_PUBLIC}",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run `gcloud auth application-default login`; "
    f"{_PUBLIC}",
    "az": "set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or run `az login` and set "
    f"AZURE_USE_AZURE_CLI=true; {_PUBLIC}",
}
_BROKEN = _Meaning(Bug, "check the options of the store; if they are correct, please report this")
_GATEWAYS = (502, 504)  #: statuses of a proxy where there is no metadata service

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_SECRETS = re.compile(r"(?i)([?&](?:sig|signature|x-amz-signature|x-amz-security-token|x-goog-signature)=)[^&\s)\"]+")


def is_panic(error: BaseException) -> bool:
    """True if the error is a panic of a Rust library, which is not derived from ``Exception``."""
    return (type(error).__module__, type(error).__name__) == ("pyo3_runtime", "PanicException")


def translate(error: BaseException, what: str) -> SheafError:
    """Return the error to raise for one of obstore's. ``what``: what was being done ("read packs/ab/x in s3://b")."""
    text = str(error)
    if is_panic(error):
        return _translated(
            _BROKEN, f"can't {what}: the storage library failed: {text.partition(chr(10))[0][:200]}", text
        )
    status, code = _STATUS.search(text), _CODE.search(text)
    if _CREDENTIALS.search(text) and not (status and int(status[1]) >= 500 and int(status[1]) not in _GATEWAYS):
        hint = NO_CREDENTIALS.get(what.rpartition(" in ")[2].partition("://")[0], "")
        return _translated(_Meaning(Denied, hint), f"can't {what}: no credentials found", text)
    meaning = _meaning(error, status, code)
    reason = " ".join(found[1] for found in (status, code) if found)
    if not reason:
        reason, meaning = _without_answer(text, meaning)
    return _translated(meaning, f"can't {what}: {reason}", text)


def _translated(meaning: _Meaning, message: str, text: str) -> SheafError:
    translated = meaning.category(message, meaning.hint)
    translated.__cause__ = ForeignAnswer(_SECRETS.sub(r"\1…", text))
    return translated


def _meaning(error: BaseException, status: re.Match[str] | None, code: re.Match[str] | None) -> _Meaning:
    if code and code[1] in _BY_CODE:
        return _BY_CODE[code[1]]
    if status:
        number = int(status[1])
        default = (
            _Meaning(Unavailable, _AGAIN) if number >= 500 else _Meaning(Refused, "the store rejected the request")
        )
        return _BY_STATUS.get(number, default)
    return next((BY_CLASS[cls] for cls in type(error).__mro__ if cls in BY_CLASS), _Meaning(Bug))


def _without_answer(text: str, meaning: _Meaning) -> tuple[str, _Meaning]:
    if meaning.category is Unavailable:
        for words, reason, better in _BY_WORDS:
            if words.search(text):
                return reason, better
    if meaning.category is NotFound:
        return "object not found", meaning
    if "HTTP error" in text:
        return "the connection was lost", meaning
    return _SECRETS.sub(r"\1…", text.splitlines()[0] if text else "no reason given")[:200], meaning
