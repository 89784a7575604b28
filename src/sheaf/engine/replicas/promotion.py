"""Make a replica the primary: the next epoch begins, and writers of the old epoch are refused.

The old primary, if it can be reached, first gets a notice (``replica/``), then each of its logs gets one more record: a
writer that checked before the notice loses the race for that number, checks again, and is refused. Everything committed
until then is copied. The last record, in the store's log, contains the new epoch and makes the replica the primary. If
the old primary is lost, the replica's own logs get these records, so that later records of the old one can't follow.
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


def hand_over(old: Core, new: Core, replicas: Sequence[str], plain: Plain = lambda backend: backend) -> int:
    """Make the replica ``new`` the primary with the help of the old one. May be repeated.

    Returns the new epoch. Raises AlreadyExists if ``new`` is the primary already, and what ``catch_up`` raises.

    Args:
        replicas: the replicas of the new primary.
        plain: see :func:`sheaf.engine.replicas.catchup.catch_up`.
    """
    epoch = _next_epoch(old, new)
    end_epoch(old.backend, epoch, new.backend.url, new.now())
    note_behind(new, replicas, "another primary was promoted")
    _close_logs(old, epoch, replicas)
    catch_up(old, new.backend, is_promotion=True, plain=plain)
    return epoch


def promote_alone(
    new: Core, others: Sequence[Backend], replicas: Sequence[str], plain: Plain = lambda backend: backend
) -> int:
    """Make a replica the primary whose old primary is lost. May be repeated.

    Returns the new epoch. Raises AlreadyExists if ``new`` is the primary already, and what ``catch_up`` raises.

    Args:
        others: the other replicas that can be reached: records that only they have are copied first.
        replicas: the replicas of the new primary.
        plain: see :func:`sheaf.engine.replicas.catchup.catch_up`.
    """
    for backend in others:
        other = Core(backend, new.config)
        try:
            catch_up(other, new.backend, is_promotion=True, plain=plain)
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
    """Append one more record to each log; last to the store's own, where it contains the epoch."""
    log = store_log(core)
    for id in log.head().state.repos:
        repo_log(core, id).append(lambda head: ())
    log.append(lambda head: (Promote(epoch), SetReplicas(tuple(replicas), head.state.policy or "primary")))


def note_behind(core: Core, replicas: Sequence[str], reason: str) -> None:
    """Note that these replicas may lack something: they get no records until they have caught up."""
    for url in replicas:
        note = Behind(url, reason, core.now())
        core.backend.create(keys.behind(replica_id(url), core.clock.new_id()), seal("behind", note))


def successor(backend: Backend, config: StoreConfig, epoch: int) -> str | None:
    """The URL of the primary that came after ``epoch``, according to a copy; None if it knows none. Closes ``backend``."""
    core = Core(backend, config)
    try:
        state = state_of(core) if copy_of(backend) == config.id else None
        if state is None or state.epoch <= epoch:
            return None
        notice = is_copy(backend, state.epoch)
        return notice.primary if notice else backend.url
    finally:
        core.close()
