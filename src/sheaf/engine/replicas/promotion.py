"""A replica becomes the primary: the next epoch begins, and whoever still writes in the old one is refused.

The old primary, if it can be reached, is told first (``replica/``), then each of its logs gets one more record: a writer
that had looked before loses the race for that number, looks again, and is refused. What was committed until then is
copied; the last record, in the store's log, says the new epoch and makes the replica the primary. If the old primary is
lost, the replica's own logs get these records, so that nothing that the old one still says can continue them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sheaf.engine.core import Core
from sheaf.engine.log.record_log import repo_log, store_log
from sheaf.engine.replicas.catchup import Plain, catch_up
from sheaf.engine.replicas.object_kinds import replica_id
from sheaf.engine.replicas.replica_records import copy_of, end_epoch, is_copy, state_of
from sheaf.errors import AlreadyExists
from sheaf.format import keys
from sheaf.format.replica_v1 import Behind
from sheaf.format.sealed import seal
from sheaf.format.store_v1 import StoreConfig
from sheaf.model.records import Promote, SetReplicas
from sheaf.storage.port import Backend

__all__ = ["hand_over", "note_behind", "promote_alone", "successor"]


def hand_over(old: Core, new: Core, replicas: Sequence[str], plain: Plain = lambda place: place) -> int:
    """Make the replica ``new`` the primary with the help of the old one; returns the epoch. May be repeated.

    Args:
        replicas: the replicas of the new primary.
        plain: see :func:`sheaf.engine.replicas.catchup.catch_up`.
    """
    epoch = _next_epoch(old, new)
    end_epoch(old.backend, epoch, new.backend.url, new.now())
    note_behind(new, replicas, "another primary was promoted")
    _close_logs(old, epoch, replicas)
    catch_up(old, new.backend, takes_over=True, plain=plain)
    return epoch


def promote_alone(
    new: Core, others: Sequence[Backend], replicas: Sequence[str], plain: Plain = lambda place: place
) -> int:
    """Make a replica the primary whose old one is lost; returns the epoch. May be repeated.

    Args:
        others: the other replicas that can be reached: what only they have got is fetched first.
        replicas: the replicas of the new primary.
        plain: see :func:`sheaf.engine.replicas.catchup.catch_up`.
    """
    for place in others:
        other = Core(place, new.config)
        try:
            catch_up(other, new.backend, takes_over=True, plain=plain)
        finally:
            other.io.shutdown()
            other.cpu.shutdown()
    epoch = _next_epoch(new, new)
    note_behind(new, replicas, "another primary was promoted")
    _close_logs(new, epoch, replicas)
    return epoch


def _next_epoch(old: Core, new: Core) -> int:
    state = state_of(new)
    if copy_of(new.backend) and is_copy(new.backend, state.epoch) is None:
        raise AlreadyExists(f"{new.backend.url} is already the primary", "no action is needed")
    known = [new.backend.newest(keys.REPLICA), old.backend.newest(keys.REPLICA)]
    notices = [keys.replica_epoch(key) for key in known if key is not None]
    return max([state.epoch, state_of(old).epoch, *notices]) + 1


def _close_logs(core: Core, epoch: int, replicas: Sequence[str]) -> None:
    """One more record in each log; the store's last, for it says the epoch."""
    log = store_log(core)
    for id in log.head().state.repos:
        repo_log(core, id).append(lambda head: ())
    log.append(lambda head: (Promote(epoch), SetReplicas(tuple(replicas), head.state.policy or "primary")))


def note_behind(core: Core, replicas: Sequence[str], reason: str) -> None:
    """Replicas that may lack something: they get no records until they have caught up."""
    for url in replicas:
        note = Behind(url, reason, core.now())
        core.backend.create(keys.behind(replica_id(url), core.clock.new_id()), seal("behind", note))


def successor(place: Backend, config: StoreConfig, epoch: int) -> str | None:
    """The primary that came after ``epoch``, as a copy knows it; None if it knows of none. Closes the place."""
    core = Core(place, config)
    try:
        state = state_of(core) if copy_of(place) == config.id else None
        if state is None or state.epoch <= epoch:
            return None
        notice = is_copy(place, state.epoch)
        return notice.primary if notice else place.url
    finally:
        core.close()
