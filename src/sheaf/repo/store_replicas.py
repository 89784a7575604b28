"""The replicas of a store: list, add, remove, update and promote them."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING

from sheaf import transfer
from sheaf.engine.core import Core
from sheaf.engine.replicas.catchup import Caught, Far, Plain
from sheaf.engine.replicas.replica_set import Policy, Promoted, ReplicaInfo, ReplicaSet
from sheaf.storage.port import Backend

if TYPE_CHECKING:
    from sheaf.transfer.progress import Progress

__all__ = ["Policy", "Promoted", "ReplicaInfo", "Replicas"]


class Replicas:
    """The replicas of a store: :attr:`sheaf.Store.replicas`."""

    def __init__(
        self, core: Core, open_location: Callable[[str], Backend], plain: Plain = lambda backend: backend
    ) -> None:
        """``core``: of the store without its encryption; ``plain`` puts that before a place."""
        self._all = ReplicaSet(core, open_location, plain)

    @property
    def policy(self) -> str:
        """How many replicas must have a commit before it is acknowledged: ``all``, ``majority`` or ``primary``."""
        return self._all.policy

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of the replicas."""
        return self._all.urls

    def list(self) -> builtins.list[ReplicaInfo]:
        """Return all replicas with their states; contacts each of them."""
        return self._all.infos()

    def add(self, url: str, *, policy: Policy | None = None, progress: Progress | None = None) -> Caught:
        """Add a replica: copy this store to a URL and keep the copy up to date. Run it again if it was interrupted.

        Raises:
            Refused: the location is not empty, or this store is a replica itself.
            InvalidInput: the URL is this store, or the policy is invalid.
        """
        return self._all.add(url, policy=policy, on_progress=_reporting(progress))

    def remove(self, url: str) -> None:
        """Stop writing to a replica; its data stays there. Raises NotFound."""
        self._all.remove(url)

    def set_policy(self, policy: Policy) -> None:
        """Set how many replicas must have a commit before it is acknowledged."""
        self._all.set_policy(policy)

    def replicate(
        self,
        to: str | None = None,
        *,
        prune: bool = False,
        refill: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Caught]:
        """Update one replica, or all. If it is interrupted, run it again.

        Args:
            to: the URL of the replica; None: all.
            prune: also delete objects that this store does not have.
            refill: copy everything again to a replica that lost its copy.

        Raises:
            NotFound: the URL is not a replica of this store. Conflict: it has diverged. Refused: it was promoted.
            Unavailable: a replica is unreachable or missing; the others are up to date.
        """
        return self._all.replicate(to, prune=prune, refill=refill, on_progress=_reporting(progress))

    def promote(self, *, progress: Progress | None = None) -> Promoted:
        """Promote this store, which is a replica, to primary.

        The old primary becomes a replica if it can be reached; otherwise it is refused when it meets the new one later.
        If it is interrupted, run it again.

        Raises:
            AlreadyExists: this store is already the primary. Conflict: it has diverged from the old primary.
        """
        return self._all.promote(on_progress=_reporting(progress))


def _reporting(progress: Progress | None) -> Callable[[Far], None]:
    def on_progress(far: Far) -> None:
        if progress:
            progress(transfer.ProgressState("replicate", far.objects, far.objects_total, far.bytes, far.bytes_total, 0))

    return on_progress
