"""Create a store, or open it, or one of its replicas if it can't be reached."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sheaf.engine.clock import Clock, SystemClock
from sheaf.engine.core import LostConfig, create_store, ensure_unused
from sheaf.errors import AlreadyExists, NotFound, SheafError, Unavailable
from sheaf.format.store_v1 import StoreConfig
from sheaf.model.records import Author
from sheaf.repo.access.known_replicas_file import recall
from sheaf.repo.access.unlock import Opener, make_encrypted, need_library
from sheaf.repo.store import Store
from sheaf.settings.settings import options_for, read_environment, read_sheaf, storage_options
from sheaf.storage.open import open_backend
from sheaf.storage.port import Backend
from sheaf.storage.storage_options import StorageOptions

__all__ = ["connect", "init"]

_warn = logging.getLogger("sheaf").warning


def init(
    url: str,
    *,
    options: StorageOptions | None = None,
    author: Author | None = None,
    cache: Path | None = None,
    key: bytes | str | None = None,
    probe: bool = True,
    clock: Clock | None = None,
) -> Store:
    """Create a store at a URL or folder and open it.

    Args:
        url: the location of the store.
        options: settings of the storage, such as credentials.
        author: the author of commits; by default the user, as on the command line.
        cache: a folder for copies of immutable objects and for hashes of local files; None: no cache.
        key: create an encrypted store with this key: 32 random bytes, or a passphrase. A ``key_file`` in the options
            does the same.
        probe: first check that the storage provides the guarantees that Sheaf relies on.

    Raises:
        AlreadyExists: there is a store already.
        Refused: the location is not empty, or a check failed; the message names it.
        Unsupported: an optional library is missing.
    """
    backend = open_backend(url, options or StorageOptions())
    ensure_unused(backend)
    unlock = Opener(url, options or StorageOptions(), key)
    secret = unlock.named()
    if secret is not None:
        need_library()
    if probe:
        from sheaf.storage.probe import ensure_safe
        from sheaf.storage.probe import probe as probe_backend  # not needed by anything but this

        ensure_safe(probe_backend(backend))
    config = _create(backend, clock, secret)
    return Store(
        backend,
        author=author or _user(),
        cache=cache,
        clock=clock,
        open_location=_opener(options),
        unlock=unlock,
        config=config,
    )


def connect(
    url: str | None = None,
    *,
    options: StorageOptions | None = None,
    cache: Path | None = None,
    author: Author | None = None,
    key: bytes | str | None = None,
    create: bool = False,
    clock: Clock | None = None,
    others: Callable[[str], StorageOptions] | None = None,
    ask: Callable[[str], str] | None = None,
) -> Store:
    """Open the store at a URL or folder.

    Args:
        url: the location. None: the store of the command line, with its settings from the environment and the
            configuration file; the other arguments take precedence.
        options: settings of the storage, such as credentials.
        cache: a folder for copies of immutable objects and for hashes of local files; None: no cache.
        author: the author of commits; by default the user, as on the command line.
        key: the key of an encrypted store: 32 bytes, or a passphrase. By default from the ``key_file`` of the options,
            the environment, the configuration file or the keyring.
        create: create the store if it does not exist and the location is empty; encrypted, if there is a key.
        others: returns the options for the URL of a replica; by default those of the store.
        ask: prompts the user for a passphrase if the store has one and no other key opens it.

    Raises:
        NotFound: there is no store.
        Denied: the store is encrypted, and the key is missing or wrong.
        Refused: the store is not encrypted, but there is a key for it.
        Unsupported: the store requires a newer Sheaf, or an optional library is missing.
    """
    if url is None:
        return _connect_configured(options, cache, author, key, create, clock)
    open_location = _opener(options, others)
    backend = open_backend(url, options or StorageOptions())
    unlock = Opener(url, options or StorageOptions(), key, ask)
    opened = partial(
        Store, author=author or _user(), cache=cache, clock=clock, open_location=open_location, unlock=unlock
    )
    try:
        return opened(backend)
    except (NotFound, Unavailable) as error:
        if copy := _open_copy(backend.url, error, cache, opened, open_location):
            return copy
        if not create or isinstance(error, Unavailable | LostConfig):
            raise
    try:
        ensure_unused(backend)
        _create(backend, clock, unlock.named())
    except AlreadyExists:
        pass  # somebody else made it at this moment
    return opened(backend)


def _user() -> Author:
    """Who is at work, as the command line would say."""
    environment = read_environment()
    try:
        settings = read_sheaf(environment, {})
    except SheafError:  # a configuration that makes no sense: nothing of it was asked for
        return Author(environment.user)
    return Author(settings.name, settings.email)


def _create(backend: Backend, clock: Clock | None, secret: bytes | str | None) -> StoreConfig:
    if secret is None:
        return create_store(backend, clock or SystemClock())
    return make_encrypted(backend, clock or SystemClock(), secret)


def _opener(
    options: StorageOptions | None, others: Callable[[str], StorageOptions] | None = None
) -> Callable[[str], Backend]:
    """What opens replicas."""
    return lambda url: open_backend(url, others(url) if others else options or StorageOptions())


def _open_copy(
    url: str,
    error: SheafError,
    cache: Path | None,
    opened: Callable[[Backend], Store],
    open_location: Callable[[str], Backend],
) -> Store | None:
    """The first replica of a lost store that can be read, of those that were known when it was last seen."""
    for replica in recall(cache, url):
        try:
            store = opened(open_location(replica))
        except SheafError:
            continue
        _warn(f"{error.message}: reading from replica {replica}, which may be behind")
        return store
    return None


def _connect_configured(
    options: StorageOptions | None,
    cache: Path | None,
    author: Author | None,
    key: bytes | str | None,
    create: bool,
    clock: Clock | None,
) -> Store:
    environment = read_environment()
    settings = read_sheaf(environment, {})
    with storage_options(environment, settings) as configured:
        return connect(
            settings.store,
            options=options or configured,
            cache=cache or settings.cache,
            author=author or Author(settings.name, settings.email),
            key=key,
            create=create,
            clock=clock,
            others=None if options else partial(options_for, settings),
        )
