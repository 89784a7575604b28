"""Find AWS credentials that the storage library does not look for: those in the files of ``~/.aws``.

The order is the one that the AWS CLI documents: a profile that is named, then the environment, then a web identity, then
the profile of ``AWS_PROFILE`` or ``default`` in the shared files, then the role of the container or the machine. The
storage library handles the environment, web identities and roles.
"""

from __future__ import annotations

import configparser
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sheaf.errors import Denied, InvalidInput, NotFound, Unsupported
from sheaf.storage.folder.oserrors import translated
from sheaf.storage.storage_options import StorageOptions

__all__ = ["AwsCredentials", "find_credentials"]

_BEFORE_KEYS: Final = ("role_arn", "web_identity_token_file", "sso_session", "sso_start_url")
_AFTER_KEYS: Final = ("credential_process", "login_session", "credential_source")
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Configuration for the client. ``is_sure``: it doesn't depend on a role of the container or the machine."""

    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    provider: Any = None
    is_sure: bool = True


def find_credentials(options: StorageOptions, environ: Mapping[str, str]) -> AwsCredentials:
    """Find credentials and region in the shared files, unless the environment has them.

    Raises:
        NotFound: there is no such profile, or no such file.
        InvalidInput: a file is invalid.
        Unsupported: the profile requires boto3, which is not installed.
        Denied: the profile has no credentials.
    """
    if options.credential:
        return AwsCredentials(_shared_credentials(options.credential, options.profile or "default"))
    name = options.profile or environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or ""
    has_own = _has_own(environ) and not options.profile
    has_region = bool(options.region) or any(environ.get(variable) for variable in _REGIONS)
    if (options.anonymous or has_own) and has_region:
        return AwsCredentials()
    keys, rest = _sections(name or "default", environ)
    region = {} if has_region or "region" not in {**keys, **rest} else {"region": {**keys, **rest}["region"]}
    if options.anonymous or has_own:
        return AwsCredentials(region)
    return _of_profile(name, keys, rest, region)


def _has_own(environ: Mapping[str, str]) -> bool:
    """True if the library finds credentials in the environment."""
    # The library uses a single one of them, too, and then reports that the other is missing.
    has_keys = environ.get("AWS_ACCESS_KEY_ID") or environ.get("AWS_SECRET_ACCESS_KEY")
    return bool(has_keys or (environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") and environ.get("AWS_ROLE_ARN")))


def _of_profile(
    name: str, keys: Mapping[str, str], rest: Mapping[str, str], region: Mapping[str, str]
) -> AwsCredentials:
    """Read a profile. ``name``: "" if none was named. ``keys``, ``rest``: its sections in the two files."""
    both = {**rest, **keys}
    if any(both.get(key) for key in _BEFORE_KEYS):
        return _by_boto3(name or "default")
    if found := _keys(keys):
        return AwsCredentials({**region, **found})
    if any(both.get(key) for key in _AFTER_KEYS):
        return _by_boto3(name or "default")
    if found := _keys(rest):
        return AwsCredentials({**region, **found})
    if name and not both:
        raise NotFound(f"AWS profile {name} not found", "run `aws configure list-profiles`")
    if name:
        raise Denied(f"AWS profile {name} has no credentials", f"run `aws configure --profile {name}`")
    return AwsCredentials(region, is_sure=False)


def _keys(section: Mapping[str, str]) -> dict[str, str]:
    """The credentials in a section, under the library's names; empty if it has none."""
    if not section.get("aws_access_key_id") or not section.get("aws_secret_access_key"):
        return {}
    found = {"access_key_id": section["aws_access_key_id"], "secret_access_key": section["aws_secret_access_key"]}
    token = section.get("aws_session_token") or section.get("aws_security_token")
    return found | ({"session_token": token} if token else {})


def _sections(profile: str, environ: Mapping[str, str]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Read a profile's sections in the credentials file and in the configuration file; a missing file is empty."""
    credentials = _parsed(environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
    config = _parsed(environ.get("AWS_CONFIG_FILE") or "~/.aws/config")
    named = {_profile_of(section): section for section in config.sections()}
    keys = dict(credentials[profile]) if profile in credentials else {}
    return keys, dict(config[named[profile]]) if profile in named else {}


def _profile_of(section: str) -> str:
    """The profile that a section of the configuration file defines: ``[profile NAME]``, with NAME quoted or not, or default."""
    try:
        words = shlex.split(section)
    except ValueError:
        return ""
    return words[1] if len(words) == 2 and words[0] == "profile" else section if section == "default" else ""


def _parsed(path: str) -> configparser.RawConfigParser:
    try:
        file = Path(path).expanduser()
        if not file.is_file():
            return _parser("", path)
    except RuntimeError:
        # expanduser() raises RuntimeError if there is no home folder.
        return _parser("", path)
    with translated(f"read {path}"):
        data = file.read_bytes()
    try:
        return _parser(data.decode("utf-8-sig"), path)
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text") from None


def _parser(text: str, path: str) -> configparser.RawConfigParser:
    """Parse a file. The InvalidInput that it raises omits the invalid line, which may contain a secret."""
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or next(iter(getattr(error, "errors", [])), [None])[0]
        where = f", line {line}" if line else ""
        raise InvalidInput(
            f"{path}{where} is not an AWS configuration", "write lines as [NAME] or key = value"
        ) from None
    return parser


def _shared_credentials(path: str, profile: str) -> dict[str, str]:
    """Read the credentials from the file of the option ``credential=``. Raises InvalidInput, NotFound, Denied."""
    with translated(f"read credential={path}"):
        data = Path(path).read_bytes()
    try:
        parser = _parser(data.decode(), path)
        found = _keys(parser[profile]) if profile in parser else {}
    except (InvalidInput, UnicodeDecodeError):
        found = {}
    if not found:
        raise InvalidInput(
            f"{path} has no AWS credentials for the profile {profile}",
            f"add [{profile}] with aws_access_key_id and aws_secret_access_key",
        ) from None
    return found


def _by_boto3(profile: str) -> AwsCredentials:
    """Use AWS's own library, which supports single sign-on, roles and processes. Raises Unsupported, NotFound, Denied."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ProfileNotFound
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise Unsupported(
            f"AWS profile {profile} requires boto3, which is not installed", "run `pip install 'sheaf-data[aws]'`"
        ) from error
    try:
        provider = Boto3CredentialProvider(boto3.Session(profile_name=profile))
    except ProfileNotFound as error:
        raise NotFound(f"AWS profile {profile} not found", "run `aws configure list-profiles`") from error
    except (ValueError, BotoCoreError) as error:
        raise Denied(f"AWS profile {profile} has no credentials", f"run `aws sso login --profile {profile}`") from error
    return AwsCredentials(provider.config, provider)
