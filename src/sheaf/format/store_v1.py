"""``sheaf.json``: what never changes about a store. Everything that can change is in the store's log."""

from __future__ import annotations

import msgspec

from sheaf.errors import Unsupported
from sheaf.format.sealed import seal, unseal

__all__ = [
    "ENCRYPTION",
    "MAX_CHUNK",
    "NEW_STORE_CHUNKER",
    "READ_FEATURES",
    "WRITE_FEATURES",
    "Chunker",
    "StoreConfig",
    "decode_config",
    "encode_config",
]

#: Features of the format that this program knows; a store that requires others is refused, naming them.
READ_FEATURES: frozenset[str] = frozenset({"encryption"})
WRITE_FEATURES: frozenset[str] = frozenset({"encryption"})

ENCRYPTION = "aes-256-gcm"  #: value of ``encryption`` in a store whose contents are encrypted
MAX_CHUNK = 64 << 20  #: bytes of a chunk before compression; recipes' parts are chunks too
_LEAST = 64  # bytes: the least value of ``min``


class Chunker(msgspec.Struct, frozen=True):
    """The chunker and its parameters, in bytes. ``fastcdc-2020``: FastCDC with normalisation level 1, gear seed 0.

    ``sqlite``: the size of the pieces that an SQLite database is cut into. Absent: it is cut like other files.
    """

    name: str = "fastcdc-2020"
    min: int = 16 * 1024
    avg: int = 64 * 1024
    max: int = 256 * 1024
    normalization: int = 1
    seed: int = 0
    sqlite: int | msgspec.UnsetType = msgspec.UNSET


NEW_STORE_CHUNKER = Chunker(sqlite=8192)  #: of stores that are created today; ``Chunker()`` is what older stores have


class StoreConfig(msgspec.Struct, frozen=True):
    """``id``: a KSUID; ``created``: RFC 3339. ``encryption`` is absent where nothing is encrypted."""

    id: str
    created: str
    hash: str = "blake3"
    chunker: Chunker = Chunker()
    encryption: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_encrypted(self) -> bool:
        """True if contents are encrypted before they reach the store."""
        return self.encryption is not msgspec.UNSET


def encode_config(config: StoreConfig) -> bytes:
    """Encode the configuration as sealed JSON of kind ``store``."""
    return seal("store", config)


def decode_config(data: bytes) -> StoreConfig:
    """Decode. Raises Corrupt, or Unsupported for a hash, a chunker or an encryption that this program doesn't know."""
    config = unseal(data, "store", StoreConfig, "sheaf.json")
    if config.hash != "blake3" or config.chunker.name != "fastcdc-2020":
        raise Unsupported(
            f"this store uses {config.hash} and {config.chunker.name}, which this Sheaf doesn't support",
            "upgrade sheaf-data",
        )
    if config.encryption not in (msgspec.UNSET, ENCRYPTION):
        raise Unsupported(
            f"this store is encrypted with {config.encryption}, which this Sheaf doesn't support", "upgrade sheaf-data"
        )
    c = config.chunker
    piece = c.min if c.sqlite is msgspec.UNSET else c.sqlite
    sizes = _LEAST <= c.min <= c.avg <= c.max <= MAX_CHUNK and _LEAST <= piece <= c.max
    if not sizes or c.normalization != 1 or c.seed:
        raise Unsupported("this store cuts files in a way that this Sheaf doesn't support", "upgrade sheaf-data")
    return config
