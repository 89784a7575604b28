"""The keys that open a store: slots in ``keys/``, each with the encrypted store key. A slot is never overwritten."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from sheaf.engine.clock import Clock, rfc3339
from sheaf.engine.core import Core, ensure_no_store
from sheaf.engine.log.record_log import store_log
from sheaf.engine.objects import get_object
from sheaf.errors import (
    AlreadyExists,
    Conflict,
    Corrupt,
    Denied,
    NotFound,
    Refused,
    SheafError,
    Unavailable,
    Unsupported,
)
from sheaf.format import keys
from sheaf.format.encrypted_v1 import SALT, StoreKey
from sheaf.format.keyslot_v1 import KeySlot, Secret, Work, check_secret, decode_slot, encode_slot, unwrap, wrap
from sheaf.format.store_v1 import ENCRYPTION, NEW_STORE_CHUNKER, StoreConfig, encode_config
from sheaf.model.records import SetFeatures
from sheaf.storage.port import Backend, Created

__all__ = ["FEATURE", "add_slot", "all_slots", "create_encrypted_store", "remove_slot", "unlock"]

FEATURE = "encryption"  #: feature in the store's log: programs that don't know it must neither read nor write
_WORK = Work()

Source = tuple[str, Secret]  #: where a secret comes from, for messages, and the secret


def create_encrypted_store(
    backend: Backend, clock: Clock, secret: Secret, random: Callable[[int], bytes] = secrets.token_bytes
) -> StoreConfig:
    """Create an empty store that ``secret`` opens. The object that makes it a store comes last. Raises AlreadyExists."""
    check_secret(secret)
    ensure_no_store(backend)
    config = StoreConfig(clock.new_id(), rfc3339(clock.now_ns()), chunker=NEW_STORE_CHUNKER, encryption=ENCRYPTION)
    slot = add_slot(backend, StoreKey(random(SALT), config.id), secret, clock, random=random)
    core = Core(backend, config, clock=clock)
    try:
        store_log(core).append(lambda head: (SetFeatures((FEATURE,), (FEATURE,)),))
    finally:
        core.io.shutdown()
        core.cpu.shutdown()
    if backend.create(keys.CONFIG, encode_config(config)) is Created.OTHER:
        backend.delete(keys.slot(slot.id))
        raise AlreadyExists(f"a store already exists at {backend.url}", "use it as it is, or choose another location")
    return config


def all_slots(backend: Backend) -> list[KeySlot]:
    """Return all slots, oldest first. Raises Corrupt if one is damaged."""
    slots, damage = _sound_slots(backend)
    if damage is not None:
        raise damage
    return slots


def add_slot(
    backend: Backend,
    key: StoreKey,
    secret: Secret,
    clock: Clock,
    note: str = "",
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> KeySlot:
    """Add a slot, so that ``secret`` also opens the store. Raises InvalidInput, Conflict."""
    is_phrase = isinstance(secret, str)
    blank = KeySlot(
        clock.new_id(),
        "passphrase" if is_phrase else "key",
        rfc3339(clock.now_ns()),
        random(SALT).hex(),
        note=note,
        scrypt=_WORK if is_phrase else None,
    )
    slot = wrap(key, secret, blank)
    if backend.create(keys.slot(slot.id), encode_slot(slot)) is Created.OTHER:
        raise Conflict(f"key {slot.id} already exists", "run the same command again")
    return slot


def remove_slot(backend: Backend, id: str) -> None:
    """Remove a slot, so that its secret no longer opens the store.

    Raises:
        NotFound: there is no such slot.
        Refused: it is the last one.
        Conflict: another process removed all others at the same time; this one was restored.
    """
    key, listed = keys.slot(id), {stat.key for stat in backend.list(keys.SLOTS)}
    if key not in listed:
        raise NotFound(f'the store at {backend.url} has no key "{id}"', "see `sheaf store key list`")
    if not any(slot.id != id for slot in _sound_slots(backend)[0]):
        raise Refused(f"key {id} is the last one: without it the store can't be read", "add another key first")
    data = get_object(backend, key)
    backend.delete(key)
    if next(backend.list(keys.SLOTS), None) is None:
        backend.create(key, data)
        raise Conflict(f"all other keys were removed concurrently, so {id} was kept", "see `sheaf store key list`")


def unlock(
    backend: Backend,
    config: StoreConfig,
    sources: Iterable[Source],
    ask: Callable[[str], str] | None = None,
) -> tuple[StoreKey, KeySlot]:
    """Find a secret that opens the store; return the store's key and the slot that it came from.

    Args:
        sources: secrets, in the order in which they are tried.
        ask: asks a user for a passphrase, with the given text; called only if nothing else opens the store.

    Raises:
        Denied: no secret opens the store.
        Corrupt, Unavailable: the store has no slots.
    """
    slots, damage = _sound_slots(backend)
    if not slots and damage is None:
        raise _no_slots(backend)
    tried = []
    for where, secret in sources:
        if opened := _opened(slots, config.id, secret):
            return opened
        tried.append(where)
    if ask is not None and any(slot.kind == "passphrase" for slot in slots):
        if opened := _opened(slots, config.id, ask(f"passphrase for the store at {backend.url}")):
            return opened
        tried.append("the passphrase entered")
    raise damage or _locked(backend.url, tried, slots)


def _sound_slots(backend: Backend) -> tuple[list[KeySlot], SheafError | None]:
    """The slots that can be read, and the error of another one, which must not lock out the users of the rest."""
    sound, damage = [], None
    for stat in backend.list(keys.SLOTS, sort=True):
        try:
            sound.append(decode_slot(get_object(backend, stat.key), stat.key))
        except NotFound:
            # It was removed in the meantime.
            continue
        except (Corrupt, Unsupported) as error:
            damage = error
    return sorted(sound, key=lambda slot: (slot.time, slot.id)), damage


def _opened(slots: Iterable[KeySlot], store: str, secret: Secret) -> tuple[StoreKey, KeySlot] | None:
    for slot in slots:
        if (key := unwrap(slot, store, secret)) is not None:
            return key, slot
    return None


def _no_slots(backend: Backend) -> SheafError:
    what = f"the store at {backend.url} is encrypted, but its keys/ is empty"
    # A listing may be late, so the slots may exist.
    if backend.settle_s:
        return Unavailable(what, "if it was just created, wait and try again; otherwise restore keys/ from a replica")
    return Corrupt(what, "restore keys/ from a replica")


def _locked(url: str, tried: list[str], slots: list[KeySlot]) -> Denied:
    if not tried:
        return Denied(
            f"the store at {url} is encrypted, and no key was given",
            "give a key file with --key-file, SHEAF_KEY_FILE or key_file in the configuration; or set SHEAF_PASSPHRASE",
        )
    known = ", ".join(f"{slot.kind} {slot.id}{f' ({slot.note})' if slot.note else ''}" for slot in slots)
    return Denied(f"the store at {url} can't be opened with {', '.join(tried)}", f"use one of its keys: {known}")
