"""Check whether a bucket keeps old versions of objects: deleting an object there does not remove its bytes."""

from __future__ import annotations

from typing import Any

import obstore

from sheaf.storage.bucket.object_store import ObstoreBackend
from sheaf.storage.bucket.obstore_errors import translate
from sheaf.storage.port import Backend
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["keeps_versions"]


def keeps_versions(backend: Backend, key: str) -> bool | None:
    """True if a bucket keeps old versions, as the response to a write of ``key`` shows; None if there is no bucket.

    ``key`` must be new, and is removed again. Raises what any write raises.
    """
    while isinstance(backend, WrapperBackend):
        backend = backend.inner
    if not isinstance(backend, ObstoreBackend):
        return None
    store: Any = backend._store
    try:
        answer = obstore.put(store, key, b"", mode="create", use_multipart=False)
    except Exception as error:
        raise translate(error, f"write {key} in {backend.url}") from None
    backend.delete(key)
    return answer["version"] not in {None, "", "null"}
