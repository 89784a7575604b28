"""How an encrypted store is opened: with a key that the caller names, or with what the surroundings hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

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

__all__ = ["Opened", "Opener", "make_encrypted", "need_library"]


@dataclass(frozen=True, slots=True)
class Opened:
    """An encrypted store that was opened, and by which slot."""

    backend: EncryptedBackend
    key: StoreKey
    slot: KeySlot


@dataclass(frozen=True, slots=True)
class Opener:
    """What is known about the key of a store, should it need one.

    ``key``: given by the caller: 32 bytes, or a passphrase. ``ask``: how to ask a person for a passphrase.
    """

    url: str = ""
    options: StorageOptions = field(default_factory=StorageOptions)
    key: bytes | str | None = field(default=None, repr=False)
    ask: Callable[[str], str] | None = None

    def named(self) -> bytes | str | None:
        """The secret that was named for this very store. Raises InvalidInput, Denied."""
        if self.key is not None:
            return self.key
        file = self._options().key_file
        return read_key_file(Path(file)) if file else None

    def open(self, backend: Backend, config: StoreConfig) -> Opened | None:
        """The store behind its encryption; None if it has none.

        Raises:
            Denied: there is no key, or another one.
            Refused: a key was named, and the store is not encrypted: whatever is written there can be read by others.
            Unsupported: an optional library is missing.
        """
        if not config.is_encrypted:
            if self.key is not None or self._options().key_file:
                raise Refused(
                    f"the store at {backend.url} is not encrypted, though a key is named for it",
                    "make an encrypted one with `sheaf store init --encrypt`, or leave the key out",
                )
            return None
        need_library()
        from sheaf.engine.encryption.encrypted_backend import EncryptedBackend
        from sheaf.engine.encryption.slots import unlock

        key, slot = unlock(backend, config, self._sources(config.id), self.ask)
        return Opened(EncryptedBackend(backend, key), key, slot)

    def _options(self) -> StorageOptions:
        return parse_location(self.url, self.options).options if self.url else self.options

    def _sources(self, store: str) -> Iterator[tuple[str, bytes | str]]:
        if self.key is not None:
            yield "the given one", self.key
        else:
            yield from secrets_for(read_environment(), self._options(), self.url, store)


def make_encrypted(backend: Backend, clock: Clock, secret: bytes | str) -> None:
    """Make an empty, encrypted store. Raises AlreadyExists, Unsupported."""
    need_library()
    from sheaf.engine.encryption.slots import create_encrypted_store

    create_encrypted_store(backend, clock, secret)


def need_library() -> None:
    """Raises Unsupported without the library that encrypts."""
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise Unsupported(
            "encryption takes the library 'cryptography'", "pip install 'sheaf-data[encryption]'"
        ) from None
