"""Open an encrypted store: with a key from the caller, the environment, the configuration or the keyring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from sheaf import engine
from sheaf.errors import Refused, Unsupported
from sheaf.format.store_v1 import StoreConfig
from sheaf.settings.secrets import read_key_file, secrets_for
from sheaf.settings.settings import read_environment
from sheaf.storage.open import parse_location
from sheaf.storage.port import Backend
from sheaf.storage.storage_options import StorageOptions

if TYPE_CHECKING:
    from sheaf.engine.clock import Clock
    from sheaf.engine.encryption.encrypted_backend import EncryptedBackend
    from sheaf.format.encrypted_v1 import StoreKey
    from sheaf.format.keyslot_v1 import KeySlot

__all__ = ["Opener", "UnlockedStore", "make_encrypted", "need_library"]


class UnlockedStore(Struct, frozen=True):
    """An opened encrypted store, and the slot that opened it."""

    backend: EncryptedBackend
    key: StoreKey
    slot: KeySlot


@dataclass(frozen=True, slots=True)
class Opener:
    """The sources of a store's key.

    ``key``: from the caller: 32 bytes, or a passphrase. ``ask``: prompts the user for a passphrase.
    """

    url: str = ""
    options: StorageOptions = field(default_factory=StorageOptions)
    key: bytes | str | None = field(default=None, repr=False)
    ask: Callable[[str], str] | None = None

    def named(self) -> bytes | str | None:
        """Return the key given for this store. Raises InvalidInput, Denied."""
        if self.key is not None:
            return self.key
        file = self._options().key_file
        return read_key_file(Path(file)) if file else None

    def open(self, backend: Backend, config: StoreConfig) -> UnlockedStore | None:
        """Decrypt a store; returns None if it is not encrypted.

        Raises:
            Denied: the key is missing or wrong.
            Refused: there is a key, but the store is not encrypted.
            Unsupported: an optional library is missing.
        """
        if not config.is_encrypted:
            if self.key is not None or self._options().key_file:
                raise Refused(
                    f"the store at {backend.url} is not encrypted, but a key is given for it",
                    "remove the key, or create an encrypted store with `sheaf store init --encrypt`",
                )
            return None
        need_library()

        key, slot = engine.unlock(backend, config, self._sources(config.id), self.ask)
        return UnlockedStore(engine.EncryptedBackend(backend, key), key, slot)

    def _options(self) -> StorageOptions:
        return parse_location(self.url, self.options).options if self.url else self.options

    def _sources(self, store: str) -> Iterator[tuple[str, bytes | str]]:
        if self.key is not None:
            yield "the given one", self.key
        else:
            yield from secrets_for(read_environment(), self._options(), self.url, store)


def make_encrypted(backend: Backend, clock: Clock, secret: bytes | str) -> StoreConfig:
    """Create an empty encrypted store. Raises AlreadyExists, Unsupported."""
    need_library()

    return engine.create_encrypted_store(backend, clock, secret)


def need_library() -> None:
    """Raise Unsupported if the package cryptography is not installed."""
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise Unsupported(
            "encryption requires the package 'cryptography'", "pip install 'sheaf-data[encryption]'"
        ) from None
