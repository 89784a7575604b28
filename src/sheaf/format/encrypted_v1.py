"""Encrypted objects (docs/format/v1.md, "Encryption"): a stream of segments, each of which can be read alone.

     0   4  "SHFE"
     4   2  version: 1
     6   2  flags: 0
     8  32  salt: random, a new one whenever anything is encrypted
    40  24  the object's length (u64), encrypted, with its tag
    64   …  segments: 64 KiB each, the last one shorter, each encrypted and followed by its tag of 16 bytes

The key is derived from the store's key, the store's id, the object's key in the store, and bytes 0 to 39; so a part of
one object can't be passed off as a part of another. The nonce is the segment's number. Plaintext is padded with zeros.

Only this module and ``keyslot_v1.py`` require the library ``cryptography``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sheaf.errors import Corrupt, Unsupported

__all__ = ["HEADER", "SALT", "SEGMENT", "TAG", "ObjectCipher", "StoreKey", "padded", "stored_size"]

HEADER = 64  #: bytes before the first segment
SEGMENT = 64 * 1024  #: bytes of a segment before encryption
TAG = 16  #: bytes by which encryption lengthens each piece
SALT = 32

_FIXED = struct.Struct("<4sHH32s")
_LENGTH = struct.Struct("<Q")
_MAGIC, _VERSION = b"SHFE", 1
_OF_LENGTH = b"\xff" * 12  # the nonce of the length: no segment has that number
_LEAST = 256  # bytes, the shortest padded length
# Exponent of two: lengths are multiples of at most 256 KiB. Full packs are a little longer than a power of two, and all
# alike anyway, so longer steps would only waste space.
_STEP = 18


def padded(size: int) -> int:
    """The length of an object with padding, in bytes: up to 12 % more, so that few lengths stand for many sizes.

    This is Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs"), in steps
    of 256 KiB at most.
    """
    size = max(size, _LEAST)
    exponent = size.bit_length() - 1
    mask = (1 << min(exponent - exponent.bit_length(), _STEP)) - 1
    return size + mask & ~mask


def stored_size(size: int) -> int:
    """The bytes that an object of this length occupies in the store when encrypted."""
    length = padded(size)
    return HEADER + length + TAG * -(-length // SEGMENT)


@dataclass(frozen=True, slots=True)
class StoreKey:
    """The key of a whole store, together with that store's id."""

    key: bytes = field(repr=False)
    store: str

    def derived(self, purpose: bytes, *parts: bytes) -> bytes:
        """Derive 32 bytes for one purpose. They reveal nothing of this key or of other derived keys."""
        return blake3(purpose + self.store.encode() + b"\n" + b"".join(parts), key=self.key).digest()


class ObjectCipher:
    """Encrypts or decrypts one object; ``size`` is its length in bytes, without padding."""

    __slots__ = ("_aead", "_what", "header", "size")

    def __init__(self, aead: AESGCM, what: str, header: bytes, size: int) -> None:
        self._aead = aead
        self._what = what
        self.header = header
        self.size = size

    @classmethod
    def begin(cls, key: StoreKey, name: str, salt: bytes, size: int) -> ObjectCipher:
        """Create the cipher for a new object that will be stored as ``name``. A salt must never be used twice."""
        fixed = _FIXED.pack(_MAGIC, _VERSION, 0, salt)
        aead = _aead(key, name, fixed)
        return cls(aead, name, fixed + aead.encrypt(_OF_LENGTH, _LENGTH.pack(size), None), size)

    @classmethod
    def read(cls, key: StoreKey, name: str, header: bytes) -> ObjectCipher:
        """Create the cipher for the object that is stored as ``name`` and begins with ``header``.

        Raises:
            Corrupt: it is damaged, was stored under another name, or was encrypted with another key.
            Unsupported: it has a newer version.
        """
        if len(header) != HEADER:
            raise Corrupt(f"{name} is truncated: {len(header)} bytes", "run `sheaf store check`")
        magic, version, flags, _ = _FIXED.unpack_from(header)
        if magic != _MAGIC:
            raise Corrupt(f"{name} is not encrypted: it begins with {magic!r}", "run `sheaf store check`")
        if version != _VERSION or flags:
            raise Unsupported(f"{name} needs a newer Sheaf (version {version}, flags {flags})", "upgrade sheaf-data")
        aead = _aead(key, name, header[: _FIXED.size])
        try:
            length = aead.decrypt(_OF_LENGTH, header[_FIXED.size :], None)
        except InvalidTag:
            raise _damaged(name, "its header") from None
        return cls(aead, name, header, _LENGTH.unpack(length)[0])

    @property
    def segments(self) -> int:
        """The number of segments."""
        return -(-padded(self.size) // SEGMENT)

    def span(self, first: int, last: int) -> tuple[int, int]:
        """The stored bytes of segments ``first`` to ``last`` (inclusive), as offset and length."""
        start = HEADER + first * (SEGMENT + TAG)
        end = min(HEADER + (last + 1) * (SEGMENT + TAG), stored_size(self.size))
        return start, end - start

    def seal(self, data: memoryview, out: memoryview) -> None:
        """Encrypt the object's bytes into ``out``, which must have exactly :func:`stored_size` bytes."""
        out[:HEADER] = self.header
        left = padded(self.size)
        for n in range(self.segments):
            piece = data[n * SEGMENT : (n + 1) * SEGMENT]
            size = min(SEGMENT, left - n * SEGMENT)
            full = piece if len(piece) == size else bytes(piece).ljust(size, b"\0")
            at = HEADER + n * (SEGMENT + TAG)
            self._aead.encrypt_into(_nonce(n), full, None, out[at : at + size + TAG])

    def open(self, first: int, sealed: memoryview) -> memoryview:
        """Decrypt whole segments, beginning with number ``first``; padding may follow the bytes. Raises Corrupt."""
        count = -(-len(sealed) // (SEGMENT + TAG))
        out = memoryview(bytearray(max(0, len(sealed) - count * TAG)))
        for i in range(count):
            piece = sealed[i * (SEGMENT + TAG) : (i + 1) * (SEGMENT + TAG)]
            if len(piece) <= TAG:
                raise _damaged(self._what, f"segment {first + i}")
            at = i * SEGMENT
            try:
                self._aead.decrypt_into(_nonce(first + i), piece, None, out[at : at + len(piece) - TAG])
            except InvalidTag:
                raise _damaged(self._what, f"segment {first + i}") from None
        return out.toreadonly()


class NameCipher:
    """Replaces hashes in names by values that can't be computed without the key; equal hashes give equal values."""

    def __init__(self, key: StoreKey) -> None:
        # AES in ECB mode permutes each half of a hash on its own. Equal hashes stay equal, and names need nothing more.
        self._cipher = Cipher(algorithms.AES256(key.derived(b"sheaf names 1\n")), modes.ECB())

    def hide(self, hash: bytes) -> bytes:
        """Return the name that is stored for a hash."""
        return self._cipher.encryptor().update(hash)

    def show(self, hidden: bytes) -> bytes:
        """Return the hash for a stored name; the inverse of :meth:`hide`."""
        return self._cipher.decryptor().update(hidden)


def _aead(key: StoreKey, name: str, fixed: bytes) -> AESGCM:
    return AESGCM(key.derived(b"sheaf object 1\n", name.encode(), b"\n", fixed))


def _nonce(n: int) -> bytes:
    return n.to_bytes(12, "little")


def _damaged(name: str, what: str) -> Corrupt:
    return Corrupt(
        f"{name} is damaged: {what} doesn't decrypt with this store's key",
        "run `sheaf store check`, or read from a replica",
    )
