"""The contents of logs: operations, and the state that results from them.

This module is pure: the engine reads and writes records, and this module defines what they mean. An operation that
doesn't fit the state to which it is applied raises an error; there is no other detection of conflicts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from sheaf.errors import AlreadyExists, Conflict, NotFound
from sheaf.model.ids import check_hashes

__all__ = [
    "AddBundle",
    "Author",
    "BringBack",
    "BundleRecord",
    "CreateRepo",
    "DeleteBundle",
    "DeleteRepo",
    "MoveBranch",
    "MovePacks",
    "Promote",
    "Record",
    "RedactBundle",
    "RefTarget",
    "RenameRepo",
    "RepoEntry",
    "RepoOp",
    "RepoState",
    "RestoreBundle",
    "RestoreRepo",
    "Root",
    "SetAside",
    "SetFeatures",
    "SetLabel",
    "SetReplicas",
    "StoreOp",
    "StoreState",
    "VoidSession",
    "replay",
]


V = TypeVar("V")


class Value(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=False):
    """Base of values in records: frozen, defaults left out, fields of later versions ignored."""


class Author(Value, frozen=True):
    """The author as given by the writer; not verified."""

    name: str = ""
    email: str = ""


class Root(Value, frozen=True):
    """The pointer to a bundle's root node; hashes in hex. See :class:`sheaf.model.nodes.Pointer`."""

    id: str
    length: int
    level: int
    rows: int
    size: int
    logical: str
    full: str


class BundleRecord(Value, frozen=True):
    """A bundle's complete descriptor. ``files``: entries that are not folders; ``size``: bytes of all files.

    ``version`` is the root's logical hash. ``time`` is the writer's clock (RFC 3339, UTC).
    ``redacted``: the session of the erasure that last removed names or contents from the bundle's tree; its root is
    another one since then, while ``version`` still is the hash of the original.
    """

    id: str
    version: str
    root: Root
    message: str
    time: str
    files: int
    author: Author = Author()
    parents: tuple[str, ...] = ()
    meta: dict[str, str] = {}
    run: str = ""
    redacted: str = ""


class RefTarget(Value, frozen=True):
    """The target of a label or branch, with the number, time and author of the record that set it."""

    bundle: str
    n: int
    time: str
    author: Author = Author()


# -- a repo's log ------------------------------------------------------------------------------------------------------


class Op(
    Value,
    frozen=True,
    tag_field="op",
    tag=lambda name: "".join("-" + c.lower() if c.isupper() else c for c in name)[1:],
):
    """Base of operations. In JSON the field ``op`` distinguishes them: the class name in kebab case."""


class AddBundle(Op, frozen=True):
    """Commit a bundle."""

    bundle: BundleRecord


class MoveBranch(Op, frozen=True):
    """Point a branch at a bundle (None deletes it) if it points to ``expect`` (None: if it doesn't exist).

    ``target``: the bundle's descriptor, if the state doesn't contain it (:meth:`RepoState.lacking`).
    """

    name: str
    bundle: str | None
    expect: str | None = None
    target: BundleRecord | None = None


class SetLabel(Op, frozen=True):
    """Set a label on a bundle (None deletes it). With ``check`` the label must point to ``expect``.

    ``target``: as in :class:`MoveBranch`.
    """

    name: str
    bundle: str | None
    expect: str | None = None
    check: bool = False
    target: BundleRecord | None = None


class DeleteBundle(Op, frozen=True):
    """Hide a bundle; gc deletes its objects once it finds them unreachable. ``latest``: the newest bundle left."""

    bundle: str
    latest: BundleRecord | None = None


class RestoreBundle(Op, frozen=True):
    """Undo a deletion that gc has not carried out yet. ``latest``: the newest bundle then, if it is another one."""

    bundle: BundleRecord
    latest: BundleRecord | None = None


class SetAside(Op, frozen=True):
    """Quarantine a bundle that can't be read, with the reason. It stays, as do its refs, and gc keeps its objects."""

    bundle: str
    reason: str


class BringBack(Op, frozen=True):
    """Release a bundle from quarantine: it can be read again."""

    bundle: str


class RedactBundle(Op, frozen=True):
    """Give a bundle, deleted or not, another tree, from which an erasure has removed something; all else is unchanged.

    ``expect``: the id of the root that ``root`` replaces; ``session``: the erasure's session.
    """

    bundle: str
    root: Root
    expect: str
    session: str

    def of(self, bundle: BundleRecord) -> BundleRecord:
        """The bundle's descriptor with the new root."""
        return msgspec.structs.replace(bundle, root=self.root, redacted=self.session)


class VoidSession(Op, frozen=True):
    """End a session that outlived gc's grace: from here on this log accepts no commit from it.

    In a repo's log this ends uploads, diamonds (AddBundle), undeletes (RestoreBundle) and erasures (RedactBundle), in the
    store's log gcs (MovePacks) and undeletes of repos (RestoreRepo).
    """

    session: str


RepoOp = (
    AddBundle | MoveBranch | SetLabel | DeleteBundle | RestoreBundle | RedactBundle | SetAside | BringBack | VoidSession
)


class RepoState(Value, frozen=True):
    """The state that a repo's log adds up to.

    ``bundles``: descriptors of those that refs and ``latest`` name; ``count``: bundles that are not deleted; ``aside``:
    the reasons of quarantined bundles, by id.
    """

    branches: dict[str, RefTarget] = {}
    labels: dict[str, RefTarget] = {}
    bundles: dict[str, BundleRecord] = {}
    latest: str | None = None
    count: int = 0
    aside: dict[str, str] = {}

    def apply(self, op: RepoOp, origin: RefTarget) -> RepoState:
        """Return the state after an operation; ``origin`` carries the record's n, time and author.

        Raises:
            Conflict: a branch, a label or the root of a bundle isn't what the operation expects.
            NotFound: it names a bundle or ref that does not exist.
            AlreadyExists: the bundle is already in the log.
        """
        match op:
            case AddBundle(bundle=bundle):
                return self._and(bundle, bundle)
            case RestoreBundle(bundle=bundle, latest=latest):
                return self._and(bundle, latest or bundle)
            case MoveBranch():
                branches = _pointed(self.branches, "branch", op, origin, check=True)
                return self._with(branches=branches, bundles=self._knowing(op))
            case SetLabel():
                labels = _pointed(self.labels, "label", op, origin, check=op.check)
                return self._with(labels=labels, bundles=self._knowing(op))
            case DeleteBundle(bundle=gone, latest=latest):
                return self._without(gone, latest)
            case SetAside(bundle=broken, reason=reason):
                return self._with(aside={**self.aside, broken: reason})
            case BringBack(bundle=restored):
                if restored not in self.aside:
                    raise NotFound(f"bundle {restored} is not quarantined")
                return self._with(aside=_but(self.aside, restored))
            case RedactBundle(bundle=id):
                known = self.bundles.get(id)
                if known is not None and known.root.id != op.expect:
                    raise Conflict(f"bundle {id} was redacted in the meantime", "run the same command again")
                return self._with(bundles={**self.bundles, id: op.of(known)}) if known is not None else self
            case VoidSession():
                return self

    def named(self, bundle: str) -> list[str]:
        """The refs that point to a bundle, as ``label:x`` and ``branch:x``."""
        labels = [f"label:{name}" for name, target in self.labels.items() if target.bundle == bundle]
        return labels + [f"branch:{name}" for name, target in self.branches.items() if target.bundle == bundle]

    def lacking(self, bundle: BundleRecord) -> BundleRecord | None:
        """The bundle if this state doesn't contain its descriptor, else None: the value for an operation's ``target``."""
        return None if bundle.id in self.bundles else bundle

    def unshadowed(self, ops: tuple[RepoOp, ...]) -> tuple[RepoOp, ...]:
        """Return the operations. Raises AlreadyExists if one gives a label a branch's name, or a branch a label's name.

        Called before they are appended. Logs with such pairs are read nevertheless, and either ref can still be moved.
        """
        names = {"branch": set(self.branches), "label": set(self.labels)}
        for op in ops:
            if not isinstance(op, MoveBranch | SetLabel):
                continue
            noun, other = ("branch", "label") if isinstance(op, MoveBranch) else ("label", "branch")
            if op.bundle is None:
                names[noun].discard(op.name)
            elif op.name in names[other] and op.name not in names[noun]:
                raise AlreadyExists(f"a {other} '{op.name}' already exists", f"choose another name for the {noun}")
            else:
                names[noun].add(op.name)
        return ops

    def ensure_not_shadowed(self, *, branch: str | None, label: str | None) -> None:
        """Raise AlreadyExists early if a commit that moves these could only fail because of their names."""
        moved = (MoveBranch(branch, "") if branch else None, SetLabel(label, "") if label else None)
        self.unshadowed(tuple(op for op in moved if op))

    def ensure_label_free(self, name: str) -> None:
        """Raise AlreadyExists if a label of this name exists."""
        if (at := self.labels.get(name)) is not None:
            raise AlreadyExists(
                f"label '{name}' already points to bundle {at.bundle}",
                "choose another label, or move this one with --move-label",
            )

    def pruned(self) -> RepoState:
        """The state without the descriptors that no ref and not ``latest`` names."""
        keep = {t.bundle for t in self.branches.values()} | {t.bundle for t in self.labels.values()} | {self.latest}
        return self._with(bundles={id: bundle for id, bundle in self.bundles.items() if id in keep})

    def ensure_not_named(self, bundle: str) -> None:
        """Raise Conflict, naming them, while labels or branches point to a bundle."""
        if held := self.named(bundle):
            raise Conflict(
                f"bundle {bundle} is still the target of {', '.join(held)}",
                "move them with `sheaf branch set` and `sheaf label set`, or delete them",
            )

    def _knowing(self, op: MoveBranch | SetLabel) -> dict[str, BundleRecord]:
        if op.bundle is None or op.bundle in self.bundles:
            return self.bundles
        if op.target is None or op.target.id != op.bundle:
            raise NotFound(f"'{op.name}' can't point to the unknown bundle {op.bundle}")
        return {**self.bundles, op.bundle: op.target}

    def _and(self, bundle: BundleRecord, latest: BundleRecord) -> RepoState:
        if bundle.id in self.bundles:
            raise AlreadyExists(f"bundle {bundle.id} is already committed")
        bundles = {**self.bundles, bundle.id: bundle, latest.id: latest}
        return self._with(bundles=bundles, latest=latest.id, count=self.count + 1)

    def _without(self, gone: str, latest: BundleRecord | None) -> RepoState:
        self.ensure_not_named(gone)
        left = self._with(bundles=_but(self.bundles, gone), aside=_but(self.aside, gone), count=self.count - 1)
        if self.latest != gone:
            return left
        bundles = left.bundles if latest is None else {**left.bundles, latest.id: latest}
        return left._with(bundles=bundles, latest=latest.id if latest else None)

    def _with(self, **changes: Any) -> RepoState:
        return msgspec.structs.replace(self, **changes)


def _but(values: dict[str, V], key: str) -> dict[str, V]:
    return {name: value for name, value in values.items() if name != key}


def _pointed(
    refs: dict[str, RefTarget], noun: str, op: MoveBranch | SetLabel, origin: RefTarget, *, check: bool
) -> dict[str, RefTarget]:
    now = refs[op.name].bundle if op.name in refs else None
    if check and now != op.expect:
        raise Conflict(
            f"{noun} '{op.name}' changed in the meantime: it points to {now or 'nothing'}", "check it and try again"
        )
    if op.bundle is None:
        if now is None:
            raise NotFound(f"{noun} '{op.name}' not found")
        return {name: target for name, target in refs.items() if name != op.name}
    return {**refs, op.name: msgspec.structs.replace(origin, bundle=op.bundle)}


# -- the store's log ---------------------------------------------------------------------------------------------------


class CreateRepo(Op, frozen=True):
    """Create a repo under a free name."""

    id: str
    name: str
    description: str = ""


class RenameRepo(Op, frozen=True):
    """Rename a repo; its id, log and data stay."""

    id: str
    name: str


class DeleteRepo(Op, frozen=True):
    """Hide a repo; its log stays, and gc deletes its data."""

    id: str


class RestoreRepo(Op, frozen=True):
    """Undo the deletion of a repo, under a free name."""

    id: str
    name: str


class SetFeatures(Op, frozen=True):
    """Set the features that a program must know to read, and to write, this store."""

    read: tuple[str, ...]
    write: tuple[str, ...]


class SetReplicas(Op, frozen=True):
    """Set the URLs of the replicas, and the policy: how many must have a write before it is acknowledged."""

    urls: tuple[str, ...]
    policy: str = "primary"


class MovePacks(Op, frozen=True):
    """Commit a gc that replaced packs: its forwarding addresses are valid from here on, unless its session was ended before."""

    session: str
    packs: tuple[str, ...]

    def __post_init__(self) -> None:
        check_hashes(*self.packs)


class Promote(Op, frozen=True):
    """Make a replica the primary: from here on, stores of an older epoch refuse writes."""

    epoch: int


StoreOp = (
    CreateRepo | RenameRepo | DeleteRepo | RestoreRepo | SetFeatures | SetReplicas | MovePacks | VoidSession | Promote
)


class RepoEntry(Value, frozen=True):
    """A repo in the store's log."""

    id: str
    name: str
    description: str
    time: str
    author: Author = Author()
    deleted: str = ""  #: when, RFC 3339; empty if it is not deleted


class StoreState(Value, frozen=True):
    """The state that the store's log adds up to; ``repos`` by id, including deleted ones."""

    repos: dict[str, RepoEntry] = {}
    read_features: tuple[str, ...] = ()
    write_features: tuple[str, ...] = ()
    replicas: tuple[str, ...] = ()
    policy: str = ""
    epoch: int = 0

    def find(self, name: str) -> RepoEntry | None:
        """The repo with this name that is not deleted, or None."""
        return next((repo for repo in self.repos.values() if repo.name == name and not repo.deleted), None)

    def apply(self, op: StoreOp, origin: RefTarget) -> StoreState:
        """Return the state after an operation. Raises AlreadyExists (name in use) and NotFound (no such repo)."""
        match op:
            case CreateRepo():
                if op.id in self.repos:
                    raise AlreadyExists(f"repo {op.id} was created before")
                entry = RepoEntry(op.id, self._free(op.name), op.description, origin.time, origin.author)
                return self._put(entry)
            case RenameRepo():
                return self._put(msgspec.structs.replace(self._alive(op.id), name=self._free(op.name)))
            case DeleteRepo():
                return self._put(msgspec.structs.replace(self._alive(op.id), deleted=origin.time))
            case RestoreRepo():
                return self._put(msgspec.structs.replace(self._gone(op.id), name=self._free(op.name), deleted=""))
            case SetFeatures():
                return msgspec.structs.replace(self, read_features=op.read, write_features=op.write)
            case SetReplicas():
                return msgspec.structs.replace(self, replicas=op.urls, policy=op.policy)
            case MovePacks() | VoidSession():
                return self
            case Promote():
                return msgspec.structs.replace(self, epoch=op.epoch)

    def pruned(self) -> StoreState:
        """The state itself, since it contains nothing derived."""
        return self

    def _free(self, name: str) -> str:
        if self.find(name):
            raise AlreadyExists(f"repo already exists: {name}")
        return name

    def _alive(self, id: str) -> RepoEntry:
        entry = self.repos.get(id)
        if entry is None or entry.deleted:
            raise NotFound(f"repo {id} no longer exists", "check whether it was deleted")
        return entry

    def _gone(self, id: str) -> RepoEntry:
        entry = self.repos.get(id)
        if entry is None:
            raise NotFound(f"repo {id} never existed")
        if not entry.deleted:
            raise AlreadyExists(f"repo {entry.name} is not deleted")
        return entry

    def _put(self, entry: RepoEntry) -> StoreState:
        return msgspec.structs.replace(self, repos={**self.repos, entry.id: entry})


# -- records -----------------------------------------------------------------------------------------------------------


class Record(Value, frozen=True):
    """One record of a log. ``write`` is unique; ``prev`` is the ``write`` of record n - 1.

    Either ``state`` is there (the whole state after this record: a checkpoint) or ``delta`` with ``since``, the number
    of an earlier record: a merge patch (RFC 7396) that leads from the state after that one to the state after this one.
    """

    n: int
    write: str
    prev: str
    time: str
    author: Author
    ops: tuple[Any, ...]
    state: Any = None
    since: int = -1
    delta: Any = None


def replay(state: Any, ops: Iterable[Any], origin: RefTarget) -> Any:
    """Return the state after several operations that happen together. Raises what ``apply`` raises."""
    for op in ops:
        state = state.apply(op, origin)
    return state.pruned()
