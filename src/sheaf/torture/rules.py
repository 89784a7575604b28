"""Find rules of an S3 bucket that delete, archive or lock objects, with boto3 if it is installed and permitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sheaf.storage.open import parse_location
from sheaf.torture.promises import PromiseFinding, Verdict
from sheaf.torture.scratch_location import ScratchLocation

__all__ = ["check_bucket_rules"]

_PROMISE: Final = "expiry and locks"
_ARCHIVES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})  # objects in these classes can't be read immediately
_NONE_SET: Final = frozenset({"NoSuchLifecycleConfiguration", "ObjectLockConfigurationNotFoundError"})
_UNREADABLE: Final = "can't read the rules: make sure that no rule of the bucket expires, archives or locks objects"


class _Unreadable(Exception):
    """The settings can't be read; the text is the reason."""


def check_bucket_rules(scratch: ScratchLocation) -> PromiseFinding:
    """Check for rules of the bucket that affect the objects of a store at ``scratch``."""
    try:
        client, bucket, path = _client(scratch)
        rules = _asked(client.get_bucket_lifecycle_configuration, bucket).get("Rules", [])
        lock = _asked(client.get_object_lock_configuration, bucket).get("ObjectLockConfiguration", {})
    except _Unreadable as error:
        return PromiseFinding(_PROMISE, "skipped", f"{_UNREADABLE} ({error})")
    harm = [harm for rule in rules if _concerns(rule, path) for harm in _harms(rule)]
    if harm:
        return PromiseFinding(_PROMISE, "failed", f"a lifecycle rule {harm[0]}: exclude the store's prefix from it")
    retention = lock.get("Rule", {}).get("DefaultRetention")
    verdict: Verdict = "warning" if retention else "passed"
    locked = "objects are locked for a time: until then, old versions keep what gc and erase delete"
    return PromiseFinding(
        _PROMISE, verdict, locked if retention else "no lifecycle rule or lock applies to this location"
    )


def _client(scratch: ScratchLocation) -> tuple[Any, str, str]:
    options = scratch.options
    location = parse_location(scratch.url, options)
    if location.scheme != "s3" or options.credential or options.anonymous:
        raise _Unreadable("requires S3 with credentials from the environment or a profile")
    try:
        import boto3
    except ImportError:
        raise _Unreadable("run: pip install 'sheaf-data[aws]'") from None
    try:
        session = boto3.Session(profile_name=options.profile)
        client = session.client("s3", endpoint_url=options.endpoint, region_name=options.region, verify=options.ca_file)
    except Exception as error:
        # The library's errors have no common base class.
        raise _Unreadable(type(error).__name__) from error
    return client, location.host, location.path


def _asked(ask: Callable[..., dict[str, Any]], bucket: str) -> dict[str, Any]:
    try:
        return ask(Bucket=bucket)
    except Exception as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
        if code in _NONE_SET:
            return {}
        raise _Unreadable(code or type(error).__name__) from error


def _concerns(rule: Mapping[str, Any], path: str) -> bool:
    """True if an enabled rule applies to objects below ``path``. Rules for tags don't, since Sheaf's objects have none."""
    about = rule.get("Filter", {})
    both = about.get("And", {})
    if rule.get("Status") != "Enabled" or "Tag" in about or both.get("Tags"):
        return False
    prefix = str(rule.get("Prefix") or about.get("Prefix") or both.get("Prefix") or "")
    folder = f"{path}/" if path else ""
    return folder.startswith(prefix) or prefix.startswith(folder)


def _harms(rule: Mapping[str, Any]) -> Iterator[str]:
    if {"Days", "Date"} & rule.get("Expiration", {}).keys():
        yield "deletes objects"
    if any(move.get("StorageClass") in _ARCHIVES for move in rule.get("Transitions", [])):
        yield "moves objects into an archive"
