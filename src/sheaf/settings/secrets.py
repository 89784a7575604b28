"""The secrets that open encrypted stores, wherever a person or a machine keeps them.

In the order in which they are tried: the key file that an option names, ``SHEAF_KEY``, ``SHEAF_PASSPHRASE``, the keyring
of the operating system. None of them is ever printed or written anywhere but where the caller says.
"""

from __future__ import annotations

import base64
import binascii
import errno
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from sheaf.errors import Denied, InvalidInput, NoSpace, Unsupported
from sheaf.settings.settings import Environment, options_for, read_sheaf
from sheaf.storage.folder.private_files import make_private_folder
from sheaf.storage.storage_options import StorageOptions

__all__ = ["KEY_BYTES", "keep_in_keyring", "new_key", "parse_key", "read_key_file", "secrets_for", "write_key_file"]

KEY_BYTES = 32
_tell = logging.getLogger("sheaf").warning
_SERVICE = "sheaf"  # under which the keyring has a store's key; the user is the store's id

Source = tuple[str, bytes | str]


def secrets_for(environment: Environment, options: StorageOptions, url: str, store: str) -> Iterator[Source]:
    """Where each secret comes from, and the secret: bytes are a key, text is a passphrase.

    Args:
        options: those with which the store is opened; if they name no key file, the environment's or the configuration
            file's counts.
        store: the store's id.

    Raises:
        InvalidInput: a key that was named isn't there, or is none.
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
    """A key that nobody has had before."""
    return secrets.token_bytes(KEY_BYTES)


def parse_key(data: bytes, what: str) -> bytes:
    """A key as it is, in hex digits or in base64. Raises InvalidInput; ``what`` says whose it is."""
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
        raise InvalidInput(f"{what} holds no key", f"a key is {KEY_BYTES} bytes: raw, in hex or in base64")
    return key


def read_key_file(path: Path) -> bytes:
    """The key in a file. Warns if others may read it. Raises InvalidInput, Denied."""
    try:
        data = path.read_bytes()
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InvalidInput(f"there is no key file {path}", "name the right one, or bring it back from a copy") from None
    except OSError as error:
        raise Denied(f"can't read the key file {path}: {error.strerror}") from error
    key = parse_key(data, str(path))
    # Everybody, not the group: Kubernetes mounts secrets for a group, and their modes can't be changed from inside.
    if stat.S_ISREG(mode) and mode & (stat.S_IROTH | stat.S_IWOTH):
        _tell(f"the key file {path} is open to everybody on this machine: run `chmod o= {path}`")
    return key


def write_key_file(path: Path, key: bytes) -> None:
    """A new file, for its owner alone, durable when this returns. Raises InvalidInput if there is one, Denied, NoSpace."""
    try:
        make_private_folder(path.absolute().parent)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(key.hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)  # half a key opens nothing, and would be in the way of the next try
            raise
    except FileExistsError:
        raise InvalidInput(f"{path} is there already", "a key file is never overwritten: choose another name") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(
                f"no room for the key file {path}", "make room on that disk and run the same command again"
            ) from error
        raise Denied(f"can't write the key file {path}: {error.strerror}") from error


# -- the keyring of the operating system -------------------------------------------------------------------------------


def keep_in_keyring(store: str, key: bytes) -> None:
    """Keep a store's key in this user's keyring. Raises Unsupported where there is none, Denied."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise Unsupported("the keyring takes the library 'keyring'", "pip install 'sheaf-data[keyring]'") from None
    try:
        keyring.set_password(_SERVICE, store, key.hex())
    except KeyringError as error:
        raise Denied(f"the keyring doesn't take the key: {error}", "use --key-file or --passphrase") from error


def _from_keyring(store: str) -> str | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        return keyring.get_password(_SERVICE, store)
    except KeyringError:
        return None  # no keyring on this machine, or it is locked
