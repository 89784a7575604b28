"""Key slots (docs/format/v1.md, "Encryption"): a store's key, encrypted with a user's secret.

A *secret* is 32 random bytes (from a key file, for example) or a passphrase. A slot is sealed JSON, so damage is detected;
an undamaged slot that doesn't decrypt means that the secret is a different one.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

import msgspec
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from sheaf.errors import Corrupt, InvalidInput, Unsupported
from sheaf.format.encrypted_v1 import StoreKey
from sheaf.format.sealed import seal, unseal

__all__ = ["SECRET", "KeySlot", "Secret", "Work", "check_secret", "decode_slot", "encode_slot", "unwrap", "wrap"]

Secret = bytes | str  #: a random key of :data:`SECRET` bytes, or a passphrase
SECRET = 32

_KEY = 32
_TAG = 16
_NONCE = bytes(12)  # each slot has its own salt and so its own key, with which it encrypts only once
_MEMORY = 1 << 28  # bytes of memory that a slot may ask for: a hostile one must not exhaust the machine
_STEPS = 1 << 22


class Work(msgspec.Struct, frozen=True):
    """Parameters of scrypt (RFC 7914): the cost of a guess of a passphrase. Uses 128 n r bytes of memory."""

    n: int = 1 << 16
    r: int = 8
    p: int = 2


class KeySlot(msgspec.Struct, frozen=True, omit_defaults=True):
    """``kind``: what opens the slot. ``salt``, ``wrapped``: hex. ``note``: the user's name for it."""

    id: str
    kind: Literal["key", "passphrase"]
    time: str
    salt: str
    wrapped: str = ""
    note: str = ""
    scrypt: Work | None = None


def check_secret(secret: Secret) -> Secret:
    """Return the secret. Raises InvalidInput if it is empty or has the wrong length."""
    if isinstance(secret, str):
        if not secret:
            raise InvalidInput("the passphrase is empty")
    elif len(secret) != SECRET:
        raise InvalidInput(f"invalid key of {len(secret)} bytes", f"use a key of {SECRET} random bytes")
    return secret


def wrap(key: StoreKey, secret: Secret, slot: KeySlot) -> KeySlot:
    """Return the slot with the store's key, encrypted with the secret. Raises InvalidInput for an invalid secret."""
    wrapped = AESGCM(_key(slot, key.store, check_secret(secret))).encrypt(_NONCE, key.key, None)
    return msgspec.structs.replace(slot, wrapped=wrapped.hex())


def unwrap(slot: KeySlot, store: str, secret: Secret) -> StoreKey | None:
    """Decrypt the key of the store with this id; None if the secret doesn't open this slot.

    Raises Unsupported if this machine can't check a passphrase, for lack of memory for example.
    """
    if slot.kind != ("passphrase" if isinstance(secret, str) else "key"):
        return None
    try:
        key = AESGCM(_key(slot, store, secret)).decrypt(_NONCE, bytes.fromhex(slot.wrapped), None)
    except InvalidTag:
        return None
    return StoreKey(key, store)


def encode_slot(slot: KeySlot) -> bytes:
    """Encode a slot as sealed JSON of kind ``key``."""
    return seal("key", slot)


def decode_slot(data: bytes, what: str) -> KeySlot:
    """Decode a slot. Raises Corrupt, and Unsupported if it requires more work or memory than this program allows."""
    slot = unseal(data, "key", KeySlot, what)
    try:
        lengths = len(bytes.fromhex(slot.salt)), len(bytes.fromhex(slot.wrapped))
    except ValueError as error:
        raise Corrupt(f"{what} is not a key slot: {error}") from error
    if lengths != (SECRET, _KEY + _TAG) or (slot.kind == "passphrase") != (slot.scrypt is not None):
        raise Corrupt(f"{what} is not a key slot")
    if slot.scrypt is not None and not _is_bearable(slot.scrypt):
        raise Unsupported(f"{what} requires more work to check a passphrase than this Sheaf allows")
    return slot


def _is_bearable(work: Work) -> bool:
    n, r, p = work.n, work.r, work.p
    # RFC 7914, section 2: n is a power of two, greater than 1 and less than 2^(16 r).
    if min(n, r, p) < 1 or n < 2 or n & n - 1 or n.bit_length() > 16 * r:
        return False
    return 128 * n * r <= _MEMORY and n * r * p <= _STEPS


def _key(slot: KeySlot, store: str, secret: Secret) -> bytes:
    """Derive the key that encrypts the store's key in this slot."""
    salt = bytes.fromhex(slot.salt)
    if isinstance(secret, str):
        work = slot.scrypt or Work()
        # The same characters can be typed as different code points, depending on the system.
        text = unicodedata.normalize("NFC", secret).encode()
        try:
            secret = Scrypt(salt, SECRET, work.n, work.r, work.p).derive(text)
        except (MemoryError, ValueError) as error:
            raise Unsupported(f"the passphrase of key {slot.id} can't be checked here: {error}") from error
    text = f"{store}\n{slot.id}\n{slot.kind}\n".encode()
    return blake3(b"sheaf slot 1\n" + text + salt, key=secret).digest()
