"""Two clients of one store do what people do, and a model in plain dictionaries says what must come of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.stateful.clients import CLIENTS, Client, as_expected, joined, other_than, outcome
from tests.stateful.profiles import profile

from sheaf.engine.commit.diamonds import MODES, Mode
from sheaf.engine.core import create_store
from sheaf.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.invariants import assert_sound
from sheaf.testing.model_repo import (
    ModelRepo,
    ModelStore,
    Tree,
    assert_diff,
    tree_of,
    write_folder,
)
from sheaf.testing.strategies import edited, edits, trees

REPOS = ("faces", "faces/a", "Faces", "x")
BRANCHES = ("main", "dev", "Main")
LABELS = ("v1", "v1.0", "V1", "init")  # none is a branch: tests/engine/test_names.py has what shares a name

clients = st.sampled_from(CLIENTS)
repos = st.sampled_from(REPOS)
branches = st.sampled_from(BRANCHES)
labels = st.sampled_from(LABELS)
picks = st.integers(0, 1 << 16)


class StoreMachine(RuleBasedStateMachine):
    """See the rules; each names a thing that a person can do."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = Path(tempfile.mkdtemp(prefix="sheaf-machine-"))
        self.folders = 0
        backend = MemoryBackend()
        create_store(backend, SteeredClock("store"))
        self.clients = {name: Client(backend, name) for name in CLIENTS}
        self.model = ModelStore()

    def teardown(self) -> None:
        try:
            for client in self.clients.values():
                assert_sound(client.store)
                self._everything_is_there(client)
        finally:
            for client in self.clients.values():
                client.close()
            shutil.rmtree(self.scratch)

    # -- picking -------------------------------------------------------------------------------------------------------

    def _repo(self, pick: int) -> ModelRepo:
        return list(self.model.repos.values())[pick % len(self.model.repos)]

    def _real(self, client: str, repo: ModelRepo) -> Repo:
        return self.clients[client].repo(repo.id, repo.name)

    def _any_repo(self) -> bool:
        return bool(self.model.repos)

    def _any_bundle(self) -> bool:
        return any(repo.bundles for repo in self.model.repos.values())

    def _bundle(self, pick: int) -> tuple[ModelRepo, str]:
        all_of_them = [(repo, id) for repo in self.model.repos.values() for id in repo.bundles]
        return all_of_them[pick % len(all_of_them)]

    # -- repos ---------------------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        repo = self.clients["alice"].store.create_repo("faces")
        self.model.create(repo.id, "faces")

    @rule(client=clients, name=repos)
    def create_repo(self, client: str, name: str) -> None:
        if name in self.model.repos:
            with pytest.raises(AlreadyExists):
                self.clients[client].store.create_repo(name)
        else:
            self.model.create(self.clients[client].store.create_repo(name).id, name)

    @precondition(_any_repo)
    @rule(client=clients, pick=picks, name=repos)
    def rename_repo(self, client: str, pick: int, name: str) -> None:
        repo = self._repo(pick)
        real = self._real(client, repo)
        with as_expected(outcome(lambda: self.model.rename(repo.name, name))):
            real.rename(name)

    @precondition(_any_repo)
    @rule(client=clients, pick=picks)
    def delete_repo(self, client: str, pick: int) -> None:
        repo = self._repo(pick)
        self._real(client, repo).delete()
        self.model.delete(repo.name)
        for other in self.clients.values():
            if repo.id in other.repos:
                with pytest.raises(NotFound):
                    other.repos.pop(repo.id).create_branch("late")

    # -- bundles -------------------------------------------------------------------------------------------------------

    @precondition(_any_repo)
    @rule(client=clients, pick=picks, tree=trees(portable=True), branch=branches, label=st.none() | labels)
    def upload(self, client: str, pick: int, tree: Tree, branch: str, label: str | None) -> None:
        repo = self._repo(pick)
        bundle = self._upload(client, repo, tree, branch, label)
        repo.add(bundle.id, tree, bundle.message, branch, label)
        assert bundle.parents == repo.bundles[bundle.id].parents
        assert tree_of(bundle) == repo.bundles[bundle.id].tree

    def _upload(self, client: str, repo: ModelRepo, tree: Tree, branch: str | None, label: str | None) -> Bundle:
        self.folders += 1
        folder = write_folder(self.scratch / str(self.folders), tree)
        message = f"upload {self.folders}"
        names: dict[str, Any] = {"branch": branch, "label": label, "move_label": True}
        return self._real(client, repo).upload(folder, message=message, **names, allow_empty=True).bundle

    @precondition(_any_bundle)
    @rule(client=clients, pick=picks, data=st.data(), branch=branches, on_head=st.booleans())
    def edit(self, client: str, pick: int, data: st.DataObject, branch: str, on_head: bool) -> None:
        repo, source = self._bundle(pick)
        base = repo.branches.get(branch) if on_head else source
        before = repo.bundles[base].tree if base else {}
        steps = data.draw(edits(before))
        real = self._real(client, repo)
        after = before
        with real.edit(message="edit", branch=branch, base=None if on_head else f"bundle:{base}") as edit:
            for step in steps:
                grown = edited(after, before, step)
                assert grown is not None
                after = grown
                if step.source:
                    edit.copy(step.source, step.path, source=real.bundle(f"bundle:{base}"))
                elif step.entry is None:
                    edit.remove(step.path)
                elif step.entry.kind == "symlink":
                    edit.symlink(step.path, step.entry.content.decode())
                else:
                    edit.put(step.path, step.entry.content, mode=0o755 if step.entry.executable else 0o644)
            bundle = edit.commit()
        repo.add(bundle.id, after, "edit", branch, base=base)
        assert bundle.parents == repo.bundles[bundle.id].parents
        assert tree_of(bundle) == after

    @precondition(_any_repo)
    @rule(
        client=clients,
        pick=picks,
        one=trees(portable=True, max_size=6),
        two=trees(portable=True, max_size=6),
        mode=st.sampled_from(MODES),
    )
    def join_two_splits(self, client: str, pick: int, one: Tree, two: Tree, mode: Mode) -> None:
        repo = self._repo(pick)
        diamond = self._real(client, repo).create_diamond()
        other = self.clients[other_than(client)]
        self._split(self.clients[client], repo, diamond.id, "one", one)
        other.clock.tick((self.clients[client].clock.now_ns() - other.clock.now_ns()) / 1e9 + 1)  # the later one wins
        self._split(other, repo, diamond.id, "two", two)
        expected = joined(one, two, mode)
        if isinstance(expected, dict):
            bundle = diamond.commit(message="joined", mode=mode, allow_empty=True)
            repo.add(bundle.id, expected, "joined", "main")
            assert tree_of(bundle) == expected
            return
        with pytest.raises((Conflict, InvalidInput)):
            diamond.commit(message="joined", mode=mode, allow_empty=True)
        assert diamond.info.state == "initialized"
        diamond.cancel()

    def _split(self, client: Client, repo: ModelRepo, diamond: str, name: str, tree: Tree) -> None:
        self.folders += 1
        folder = write_folder(self.scratch / str(self.folders), tree)
        client.repo(repo.id, repo.name).diamond(diamond).add_split(folder, split_id=name)

    @precondition(_any_bundle)
    @rule(client=clients, pick=picks)
    def equal_trees_have_equal_versions(self, client: str, pick: int) -> None:
        repo, id = self._bundle(pick)
        real = self._real(client, repo)
        version = real.bundle(f"bundle:{id}").version
        for other, bundle in repo.bundles.items():
            same = real.bundle(f"bundle:{other}").version == version
            assert same == (bundle.tree == repo.bundles[id].tree)

    @precondition(_any_bundle)
    @rule(client=clients, pick=picks, other=picks)
    def diff(self, client: str, pick: int, other: int) -> None:
        repo, old = self._bundle(pick)
        new = list(repo.bundles)[other % len(repo.bundles)]
        real = self._real(client, repo)
        trees = repo.bundles[old].tree, repo.bundles[new].tree
        assert_diff(real.bundle(f"bundle:{old}"), real.bundle(f"bundle:{new}"), *trees)

    @precondition(_any_bundle)
    @rule(client=clients, pick=picks, start=st.integers(0, 50_000), length=st.integers(0, 50_000))
    def read_ranges(self, client: str, pick: int, start: int, length: int) -> None:
        repo, id = self._bundle(pick)
        bundle = self._real(client, repo).bundle(f"bundle:{id}")
        for path, entry in repo.bundles[id].tree.items():
            if entry.kind == "file":
                assert bundle.read(path, start, length) == entry.content[start : start + length]

    # -- names ---------------------------------------------------------------------------------------------------------

    @precondition(_any_bundle)
    @rule(client=clients, pick=picks, label=labels)
    def set_label(self, client: str, pick: int, label: str) -> None:
        repo, id = self._bundle(pick)
        assert self._real(client, repo).set_label(label, f"bundle:{id}").bundle == id
        repo.set_label(label, id)

    @precondition(_any_repo)
    @rule(client=clients, pick=picks, label=labels)
    def delete_label(self, client: str, pick: int, label: str) -> None:
        repo = self._repo(pick)
        with as_expected(outcome(lambda: repo.delete_label(label))):
            self._real(client, repo).delete_label(label)

    @precondition(_any_bundle)
    @rule(client=clients, pick=picks, branch=branches)
    def create_branch(self, client: str, pick: int, branch: str) -> None:
        repo, id = self._bundle(pick)
        with as_expected(outcome(lambda: repo.create_branch(branch, id))):
            self._real(client, repo).create_branch(branch, f"bundle:{id}")

    @precondition(_any_repo)
    @rule(client=clients, pick=picks, branch=branches)
    def delete_branch(self, client: str, pick: int, branch: str) -> None:
        repo = self._repo(pick)
        with as_expected(outcome(lambda: repo.delete_branch(branch))):
            self._real(client, repo).delete_branch(branch)

    # -- races: the other client's record comes a moment before this one's ---------------------------------------------

    @precondition(_any_repo)
    @rule(client=clients, pick=picks, mine=trees(portable=True, max_size=3), theirs=trees(portable=True, max_size=3))
    def two_uploads_at_once(self, client: str, pick: int, mine: Tree, theirs: Tree) -> None:
        repo = self._repo(pick)
        self._race(client, lambda other: self._plain_upload(other, repo, theirs))
        self._plain_upload(client, repo, mine)

    def _plain_upload(self, client: str, repo: ModelRepo, tree: Tree) -> None:
        bundle = self._upload(client, repo, tree, "main", None)
        repo.add(bundle.id, tree, bundle.message, "main")
        assert bundle.parents == repo.bundles[bundle.id].parents

    @precondition(_any_bundle)
    @rule(client=clients, pick=picks, label=labels, other_label=labels)
    def two_labels_at_once(self, client: str, pick: int, label: str, other_label: str) -> None:
        repo, id = self._bundle(pick)

        def theirs(other: str) -> None:
            self._real(other, repo).set_label(other_label, f"bundle:{id}")
            repo.set_label(other_label, id)

        self._race(client, theirs)
        self._real(client, repo).set_label(label, f"bundle:{id}")
        repo.set_label(label, id)

    @precondition(lambda self: any("main" in repo.branches for repo in self.model.repos.values()))
    @rule(client=clients, theirs=trees(portable=True, max_size=3))
    def an_edit_loses_its_race(self, client: str, theirs: Tree) -> None:
        repo = next(repo for repo in self.model.repos.values() if "main" in repo.branches)
        head = repo.branches["main"]
        self._race(client, lambda other: self._plain_upload(other, repo, theirs))
        with pytest.raises(Conflict), self._real(client, repo).edit(message="edit", expect=head) as edit:
            edit.put("put", b"put") if repo.bundles[head].tree.get("put") is None else None
            edit.commit()

    @precondition(_any_repo)
    @rule(client=clients, pick=picks)
    def a_branch_is_deleted_while_somebody_moves_it(self, client: str, pick: int) -> None:
        repo = self._repo(pick)
        self._race(client, lambda other: self._plain_upload(other, repo, {}))
        if "main" not in repo.branches:
            self.clients[client].backend.meddle = None
            return
        with pytest.raises(Conflict):
            self._real(client, repo).delete_branch("main")

    @rule(client=clients, name=repos)
    def two_repos_of_one_name(self, client: str, name: str) -> None:
        if name in self.model.repos:
            return

        def theirs(other: str) -> None:
            self.model.create(self.clients[other].store.create_repo(name).id, name)

        self._race(client, theirs)
        with pytest.raises(AlreadyExists):
            self.clients[client].store.create_repo(name)

    def _race(self, client: str, theirs: Callable[[str], None]) -> None:
        self.clients[client].backend.meddle = lambda: theirs(other_than(client))

    # -- time and processes --------------------------------------------------------------------------------------------

    @rule(client=clients)
    def reopen(self, client: str) -> None:
        self.clients[client].close()
        self.clients[client].open()

    @rule(client=clients, seconds=st.sampled_from([-3600.0, 0.001, 1.0, 86_400.0]))
    def time_passes(self, client: str, seconds: float) -> None:
        self.clients[client].clock.tick(seconds)

    # -- what always holds ---------------------------------------------------------------------------------------------

    @invariant()
    def nobody_is_working(self) -> None:
        backend = self.clients["alice"].backend
        assert [stat.key for stat in backend.list("sessions/")] == []
        assert all(client.backend.meddle is None for client in self.clients.values())

    @invariant()
    def names_are_as_in_the_model(self) -> None:
        for client in self.clients.values():
            assert [repo.name for repo in client.store.repos()] == sorted(self.model.repos)
            for repo in self.model.repos.values():
                real = client.repo(repo.id, repo.name)
                assert {label.name: label.bundle for label in real.labels()} == repo.labels
                assert {branch.name: branch.bundle for branch in real.branches()} == repo.branches

    def _everything_is_there(self, client: Client) -> None:
        client.open()
        for repo in self.model.repos.values():
            real = client.store.repo(repo.name)
            assert [bundle.id for bundle in real.bundles()] == list(repo.bundles)
            assert [(move.name, move.bundle) for move in real.label_history()] == repo.moves[::-1]
            for branch, id in repo.branches.items():
                assert [bundle.id for bundle in real.log(f"branch:{branch}")] == repo.history(id)
            for id, bundle in repo.bundles.items():
                assert tree_of(real.bundle(id)) == bundle.tree


TestStore = StoreMachine.TestCase
TestStore.settings = profile()
