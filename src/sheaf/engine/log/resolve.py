"""Find the bundle that a ref, as typed by a user, refers to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sheaf.engine.core import Core
from sheaf.engine.log.record_log import Head, Log, repo_log, store_log
from sheaf.errors import Ambiguous, Corrupt, NotFound
from sheaf.model.ids import is_ksuid, is_ksuid_prefix
from sheaf.model.records import AddBundle, BundleRecord, DeleteBundle, RedactBundle, RepoOp, RepoState, RestoreBundle
from sheaf.model.refs import Ref, parse_ref

__all__ = ["MAIN", "Quarantined", "Refs", "alive"]

MAIN = "main"  #: the branch that is used if no ref is given


class Quarantined(Corrupt):
    """The bundle is quarantined, because it can't be read."""

    kind = "quarantined"


def alive(core: Core, repo_id: str, bundle_id: str) -> BundleRecord:
    """Return a bundle that is committed and not deleted now, in a repo that is not deleted either. Raises NotFound."""
    repo = store_log(core).head().state.repos.get(repo_id)
    if repo is None or repo.deleted:
        raise NotFound(f"the repo of bundle {bundle_id} was deleted")
    return Refs(repo_log(core, repo_id), repo.name).get(bundle_id)


class Refs:
    """Finds the bundles of one repo, by any name. Remembers descriptors, since only records can change them."""

    def __init__(self, log: Log[RepoState, RepoOp], repo: str) -> None:
        self._log = log
        self._repo = repo
        self._seen = -1
        self._all: dict[str, BundleRecord] = {}
        self._gone: set[str] = set()

    def bundles(self) -> list[BundleRecord]:
        """Return all bundles that are not deleted, in the order of their commits."""
        self._catch_up()
        return [bundle for id, bundle in self._all.items() if id not in self._gone]

    def deleted_bundles(self) -> list[BundleRecord]:
        """Return all deleted bundles, in the order of their commits. Their data may be gone."""
        self._catch_up()
        return [bundle for id, bundle in self._all.items() if id in self._gone]

    def ever(self) -> dict[str, BundleRecord]:
        """Return every bundle that was ever committed, deleted or not, with its current descriptor, by id."""
        self._catch_up()
        return dict(self._all)

    def deleted(self, id: str) -> BundleRecord:
        """Return the deleted bundle with this id, or with an id that begins with it. Raises NotFound, Ambiguous."""
        self._catch_up()
        if not is_ksuid(id):
            id = _only(self._beginning_with(id, self._gone), id) or id
        if id not in self._gone:
            raise NotFound(f'no deleted bundle "{id}"', f"see `sheaf bundle undelete --repo {self._repo}`")
        return self._all[id]

    def newest(self, *, without: frozenset[str] = frozenset(), besides: str = "") -> BundleRecord | None:
        """The newest bundle by commit, not counting deleted ones and ``without``, but counting ``besides``; or None."""
        self._catch_up()
        gone = (self._gone | without) - {besides}
        return next((bundle for id, bundle in reversed(self._all.items()) if id not in gone), None)

    def latest(self) -> BundleRecord:
        """Return the bundle that was committed last. Raises NotFound for an empty repo."""
        head = self._log.head()
        if head.state.latest is None:
            raise NotFound(f"no bundles uploaded to repo: {self._repo}", "create one with `sheaf bundle upload`")
        return self._get(head.state.latest, head)

    def get(self, id: str, head: Head[RepoState] | None = None) -> BundleRecord:
        """Return the bundle with this id. ``head``: that of the log if the caller has just read it. Raises NotFound."""
        return self._get(id, head or self._log.head())

    def head_of_main(self) -> BundleRecord:
        """Return the bundle that ``main`` points to: the default if no ref is given. Raises NotFound."""
        head = self._log.head()
        if MAIN in head.state.branches:
            return self._at("branch", MAIN, head.state.branches[MAIN].bundle, head)
        if head.state.latest is None:
            raise NotFound(f"no bundles uploaded to repo: {self._repo}", "create one with `sheaf bundle upload`")
        there = ", ".join(f"{self._repo}@{name}" for name in sorted(head.state.branches))
        hint = (
            f"name one of its branches: {there}"
            if there
            else f"name a bundle; run `sheaf bundle list --repo {self._repo}`"
        )
        raise NotFound(f"repo {self._repo} has no branch '{MAIN}', which is the default ref", hint)

    def resolve(self, text: str | None, *, even_quarantined: bool = False) -> BundleRecord:
        """Return the bundle that a ref names; None is the head of ``main``.

        Args:
            even_aside: also return a quarantined bundle; otherwise only its own id leads to it.

        Raises:
            NotFound: there is nothing of that name.
            Ambiguous: it names a label and a branch, or several versions or ids begin with it.
            Quarantined: the bundle is quarantined, because it can't be read.
        """
        ref = parse_ref(text) if text is not None else None
        bundle = self.head_of_main() if ref is None else self._meant(ref, text or "")
        if not even_quarantined and (ref is None or ref.form != "bundle" or ref.back):
            self.ensure_not_quarantined(bundle, text or f"branch '{MAIN}'")
        return bundle

    def ensure_not_quarantined(self, bundle: BundleRecord, text: str) -> None:
        """Raise Quarantined if a bundle is quarantined; ``text``: the ref that named it."""
        reason = self._log.last.aside.get(bundle.id)
        if reason is not None:
            raise Quarantined(
                f"bundle {bundle.id} ({text}) is quarantined: {reason}",
                f"use its id to read what is left of it; once its data is restored, run `sheaf bundle undelete --repo "
                f"{self._repo} --bundle {bundle.id}`",
            )

    def _meant(self, ref: Ref, text: str) -> BundleRecord:
        head = self._log.head()
        bundle = self._named(ref, head, is_bare=not text.startswith("version:"))
        seen: set[str] = set()
        for _ in range(ref.back):
            if bundle.id in seen:
                raise Corrupt(f"bundle {bundle.id} has a cyclic parent chain", "run `sheaf store check`")
            seen.add(bundle.id)
            if not bundle.parents:
                raise NotFound(f"'{text}' goes back further than the history of {self._repo}")
            bundle = self._parent(bundle.parents[0], head, text)
        return bundle

    def _parent(self, id: str, head: Head[RepoState], text: str) -> BundleRecord:
        try:
            return self._get(id, head)
        except NotFound:
            raise NotFound(
                f"'{text}' goes back further than the history of {self._repo}: bundle {id} was deleted",
                f"see `sheaf log {self._repo}`",
            ) from None

    def history(self, start: BundleRecord) -> Iterator[BundleRecord]:
        """Yield a bundle and its first parents, newest first. Raises Corrupt if the chain is cyclic."""
        seen: set[str] = set()
        head = self._log.head()
        bundle = start
        while True:
            if bundle.id in seen:
                raise Corrupt(f"bundle {start.id} has a cyclic parent chain")
            seen.add(bundle.id)
            yield bundle
            if not bundle.parents:
                return
            try:
                bundle = self._get(bundle.parents[0], head)
            except NotFound:
                return

    def _at(self, noun: str, name: str, id: str, head: Head[RepoState]) -> BundleRecord:
        """The bundle that a label or branch points to. Raises Corrupt if it's missing, since named bundles can't be deleted."""
        try:
            return self._get(id, head)
        except NotFound as error:
            raise Corrupt(
                f"{noun} '{name}' points to bundle {id}, which does not exist", "run `sheaf store check`"
            ) from error

    def _get(self, id: str, head: Head[RepoState]) -> BundleRecord:
        if (named := head.state.bundles.get(id)) is not None:
            return named
        if self._seen < head.n:
            self._catch_up()
        if id not in self._all or id in self._gone:
            raise NotFound(f'didn\'t find bundle "{id}"', f"see `sheaf bundle list --repo {self._repo}`")
        return self._all[id]

    def _named(self, ref: Ref, head: Head[RepoState], *, is_bare: bool) -> BundleRecord:
        if ref.form == "bundle":
            return self._get(ref.name if is_ksuid(ref.name) else self._beginning(ref.name) or ref.name, head)
        if ref.form == "version":
            return self._version(ref.name, is_bare=is_bare)
        state = head.state
        found = []
        if ref.form in ("name", "label") and ref.name in state.labels:
            found.append(("label", state.labels[ref.name].bundle))
        if ref.form in ("name", "branch") and ref.name in state.branches:
            found.append(("branch", state.branches[ref.name].bundle))
        if not found and ref.form == "name" and (id := self._beginning(ref.name)):
            return self._get(id, head)
        if not found:
            raise self._unknown(ref, state)
        if len(found) > 1:
            raise Ambiguous(
                f"'{ref.name}' is a label and a branch of {self._repo}", f"write label:{ref.name} or branch:{ref.name}"
            )
        return self._at(found[0][0], ref.name, found[0][1], head)

    def _unknown(self, ref: Ref, state: RepoState) -> NotFound:
        noun = "label or branch" if ref.form == "name" else ref.form
        for other, names in (("branch", state.branches), ("label", state.labels)):
            if ref.name in names:
                hint = f"use the {other} of that name: `--{other} {ref.name}`, or {self._repo}@{other}:{ref.name}"
                return NotFound(f'didn\'t find {noun} "{ref.name}"', hint)
        lists = f"`sheaf label list --repo {self._repo}`, `sheaf branch list --repo {self._repo}`"
        return NotFound(f'didn\'t find {noun} "{ref.name}"', f"see {lists} or `sheaf log {self._repo}`")

    def _version(self, prefix: str, *, is_bare: bool) -> BundleRecord:
        """Return the bundle of a version or its beginning. ``is_bare``: the text may also be the beginning of an id."""
        found = [bundle for bundle in self.bundles() if bundle.version.startswith(prefix)]
        by_id = self._beginning(prefix) if is_bare else None
        if found and by_id:
            raise Ambiguous(
                f"a version and a bundle's id begin with {prefix}", f"write version:{prefix} or bundle:{by_id}"
            )
        if by_id:
            return self.get(by_id)
        if not found:
            raise NotFound(f'didn\'t find version "{prefix}"', f"see `sheaf log {self._repo}`")
        found = [bundle for bundle in found if bundle.id not in self._log.last.aside] or found
        versions = {bundle.version for bundle in found}
        if len(versions) > 1:
            raise Ambiguous(f"{len(versions)} versions begin with {prefix}", "give more digits")
        return found[-1]

    def _beginning(self, text: str) -> str | None:
        """The id of the only bundle whose id begins with ``text``; None if there is none. Raises Ambiguous."""
        if not is_ksuid_prefix(text):
            return None
        self._catch_up()
        return _only(self._beginning_with(text, self._all.keys() - self._gone), text)

    @staticmethod
    def _beginning_with(text: str, ids: Iterable[str]) -> list[str]:
        return [id for id in ids if id.startswith(text)] if is_ksuid_prefix(text) else []

    def _catch_up(self) -> None:
        for record in self._log.records(self._seen + 1):
            for op in record.ops:
                match op:
                    case AddBundle(bundle=bundle):
                        self._all[bundle.id] = bundle
                    case RestoreBundle(bundle=bundle):
                        self._all[bundle.id] = bundle
                        self._gone.discard(bundle.id)
                    case DeleteBundle(bundle=gone):
                        self._gone.add(gone)
                    case RedactBundle(bundle=id) if id in self._all:
                        self._all[id] = op.of(self._all[id])
            self._seen = record.n


def _only(ids: list[str], text: str) -> str | None:
    if len(ids) > 1:
        raise Ambiguous(f"the ids of {len(ids)} bundles begin with {text}", "give more characters")
    return ids[0] if ids else None
