"""The secrets that open encrypted stores, from all their sources.

In this order: the key file of the options, ``SHEAF_KEY``, ``SHEAF_PASSPHRASE``, the keyring of the operating system. None
of them is ever printed, or written except where the caller says.
"""

from __future__ import annotations

import base64
import binascii
import errno
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sheaf.errors import Denied, InvalidInput, NoSpace, Unsupported
from sheaf.private_files import make_private_folder
from sheaf.settings.settings import Environment, options_for, read_sheaf
from sheaf.storage.storage_options import StorageOptions

__all__ = ["KEY_BYTES", "keep_in_keyring", "new_key", "parse_key", "read_key_file", "secrets_for", "write_key_file"]

KEY_BYTES = 32
_warn = logging.getLogger("sheaf").warning
_SERVICE = "sheaf"  # the service under which the keyring stores a key; the user name is the store's id

Source = tuple[str, bytes | str]


def secrets_for(environment: Environment, options: StorageOptions, url: str, store: str) -> Iterator[Source]:
    """Yield the source of each secret, and the secret: bytes are a key, text is a passphrase.

    Args:
        options: the options for the store; without a key file, the one of the environment or the configuration file is
            used.
        store: the store's id.

    Raises:
        InvalidInput: a key file does not exist, or a key is invalid.
    """
    if file := options.key_file or options_for(read_sheaf(environment, {}), url).key_file:
        yield file, read_key_file(Path(file))
    if text := environment.text("SHEAF_KEY"):
        yield "SHEAF_KEY", parse_key(text.encode(), "SHEAF_KEY")
    if phrase := environment.text("SHEAF_PASSPHRASE"):
        yield "SHEAF_PASSPHRASE", phrase
    if kept := _from_keyring(store):
        yield "the key in the keyring", parse_key(kept.encode(), "the keyring")


def new_key() -> bytes:
    """Return a new random key."""
    import secrets  # only for new keys

    return secrets.token_bytes(KEY_BYTES)


def parse_key(data: bytes, what: str) -> bytes:
    """Parse a key: raw, in hex or in base64. Raises InvalidInput; ``what`` names its source."""
    if len(data) == KEY_BYTES:
        return data
    text = data.strip()
    try:
        key = (
            bytes.fromhex(text.decode("ascii")) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
        )
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidInput(f"{what} does not contain a key", f"a key is {KEY_BYTES} bytes: raw, in hex or in base64")
    return key


def read_key_file(path: Path) -> bytes:
    """Read a key from a file. Warns if other users may read it. Raises InvalidInput, Denied."""
    try:
        data = path.read_bytes()
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InvalidInput(
            f"key file {path} does not exist", "check the path, or restore the file from a backup"
        ) from None
    except OSError as error:
        raise Denied(f"can't read key file {path}: {error.strerror}") from error
    key = parse_key(data, str(path))
    # A warning about the group would be wrong: Kubernetes mounts secrets for a group, and a container can't change that.
    if stat.S_ISREG(mode) and mode & (stat.S_IROTH | stat.S_IWOTH):
        _warn(f"key file {path} is accessible to all users of this machine: run `chmod o= {path}`")
    return key


def write_key_file(path: Path, key: bytes) -> None:
    """Write a new key file, readable only by its owner, and flush it. Raises InvalidInput if it exists, Denied, NoSpace."""
    try:
        make_private_folder(path.absolute().parent)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(key.hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            # Half a key opens nothing, and the file would make the next attempt fail.
            path.unlink(missing_ok=True)
            raise
    except FileExistsError:
        raise InvalidInput(f"{path} already exists", "choose another name: key files are never overwritten") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(
                f"no space for key file {path}", "free some space on that disk and run the command again"
            ) from error
        raise Denied(f"can't write key file {path}: {error.strerror}") from error


# -- the keyring of the operating system -------------------------------------------------------------------------------


def keep_in_keyring(store: str, key: bytes) -> None:
    """Save a store's key in the user's keyring. Raises Unsupported if there is no keyring; Denied."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise Unsupported("the keyring requires the package 'keyring'", "pip install 'sheaf-data[keyring]'") from None
    try:
        keyring.set_password(_SERVICE, store, key.hex())
    except KeyringError as error:
        raise Denied(f"can't save the key in the keyring: {error}", "use --key-file or --passphrase") from error


def _from_keyring(store: str) -> str | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        return keyring.get_password(_SERVICE, store)
    except KeyringError:
        # There is no keyring on this machine, or it is locked. The next source may have the secret.
        return None
