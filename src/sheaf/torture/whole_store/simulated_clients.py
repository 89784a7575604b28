"""Clients of a round: users who upload, set refs, read and delete, each with a different clock, and a gc."""

from __future__ import annotations

import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from sheaf.engine.clock import SystemClock
from sheaf.errors import AlreadyExists, Conflict, Corrupt, NotFound, Refused, Unavailable
from sheaf.model.ids import ksuid
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.port import Backend
from sheaf.storage.wrappers.retry import RetryBackend, RetryPolicy
from sheaf.torture.trial import pattern
from sheaf.torture.whole_store.chaos import Chaos
from sheaf.torture.whole_store.claims import Broken
from sheaf.torture.whole_store.ledger import Acknowledged, Files, Ledger, claim_files

__all__ = ["REPOS", "Client", "Collector", "Person", "client", "new_folder"]

REPOS = ("team/a", "team/b")
#: Errors that any client may get when its store fails, or when other clients use the same names.
_USUAL = (Conflict, NotFound, AlreadyExists, Refused, Unavailable)
_HOURS = (-30, -7, 0, 0, 5, 26)  # by which clocks are wrong
_ATTEMPTS = 10
_POLICY = RetryPolicy(retries=5, first_s=0.02, longest_s=0.2)

_NOISE = pattern(120_000, "noise")
#: Contents of files; many of them share chunks, single ones or long runs.
_CONTENTS = (
    b"",
    b"a few bytes",
    b"text " * 3_000,
    _NOISE[:900],
    _NOISE[1_000:50_000],
    _NOISE[1_000:20_000] + b"!" + _NOISE[20_000:50_000],
    _NOISE[30_000:70_000],
    _NOISE[70_000:110_000],
    _NOISE[70_000:90_000] + _NOISE[1_000:20_000],
    _NOISE[110_000:],
)
_NAMES = ("a", "b", "c/d", "c/e", "c/f/g", "h/i", "j", "k")


@dataclass(frozen=True, slots=True)
class WrongClock:
    """The machine's clock, shifted by some hours."""

    hours: int

    def now_ns(self) -> int:
        """The time of this clock, in nanoseconds since 1970."""
        return SystemClock().now_ns() + self.hours * 3600 * 10**9

    def new_id(self) -> str:
        """A new KSUID with the time of this clock."""
        return ksuid(self.now_ns() // 10**9, secrets.token_bytes(16))


@dataclass(frozen=True, slots=True)
class Client:
    """A store as one client has it open."""

    store: Store
    random: random.Random
    faults: Counter[str]


@contextmanager
def client(backend: Backend, name: str, rate: float, stop: threading.Event | None = None) -> Iterator[Client]:
    """Open a store through an unreliable network and with a wrong clock; ``name`` seeds both."""
    rng = random.Random(name)
    chaos = Chaos(backend, rng, rate, stop)
    with _opened(RetryBackend(chaos, _POLICY), WrongClock(rng.choice(_HOURS))) as store:
        yield Client(store, random.Random(f"{name} acts"), chaos.counts)


def _opened(backend: Backend, clock: WrongClock) -> Store:
    """Open a store with as many attempts as a user would make."""
    for _ in range(_ATTEMPTS):
        try:
            return Store(backend, clock=clock)
        except Unavailable:
            continue
    return Store(backend, clock=clock)


def new_folder(root: Path, rng: random.Random, own: bytes = b"") -> Files:
    """Fill a new folder; ``own`` is the content of a unique file. Returns its files."""
    chosen = {name: rng.choice(_CONTENTS) for name in rng.sample(_NAMES, rng.randrange(1, 6))}
    chosen["own"] = own
    for name, content in chosen.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return {name: blake3(content).hexdigest() for name, content in chosen.items()}


@dataclass(slots=True)
class Person:
    """Runs random operations one after the other; records its own bundles."""

    name: str
    client: Client
    ledger: Ledger
    scratch: Path
    _mine: list[str] = field(default_factory=list)  #: on no branch, so this client may delete them
    _deleted: list[str] = field(default_factory=list)
    _folders: int = 0

    def live(self, steps: int) -> None:
        """Run random operations. Raises Broken, and every error that must not happen to a client."""
        habits: tuple[Callable[[], None], ...] = (
            self.upload,
            self.upload,
            self.upload,
            self.edit,
            self.label,
            self.branch,
            self.read,
            self.delete,
            self.undelete,
        )
        for _ in range(steps):
            try:
                self.client.random.choice(habits)()
            except _USUAL:
                self.ledger.counts["refused or failed"] += 1

    def _repo(self) -> Repo:
        return self.client.store.repo(self.client.random.choice(REPOS))

    def _any(self) -> tuple[str, Acknowledged]:
        known = self.ledger.safe()
        if not known:
            raise NotFound("no bundle yet")
        id = self.client.random.choice(list(known))
        return id, known[id]

    def upload(self) -> None:
        """Upload a folder, mostly to the branch that all share."""
        repo, rng = self._repo(), self.client.random
        self._folders += 1
        folder = self.scratch / f"{self.name}-{self._folders}"
        files = new_folder(folder, rng, rng.randbytes(rng.randrange(3_000)))
        branch = rng.choice(["main", "main", None])
        made = Acknowledged(repo.name, files, branch)
        done = repo.upload(
            folder, message="upload", branch=branch, on_commit=lambda bundle: self.ledger.commit(bundle.id, made)
        )
        if branch is None:
            self._mine.append(done.bundle.id)

    def edit(self) -> None:
        """Put one more file on the shared branch."""
        repo, content = self._repo(), self.client.random.choice(_CONTENTS)
        with repo.edit(message="edit") as edit:
            edit.put("edited", content)
            bundle = edit.commit()
        base = self.ledger.bundles.get(bundle.parents[0]) if bundle.parents else Acknowledged(repo.name, {}, "main")
        # Otherwise the commit of the parent has not been acknowledged yet, so its files are unknown here.
        if base is not None:
            files = {**base.files, "edited": blake3(content).hexdigest()}
            self.ledger.commit(bundle.id, Acknowledged(repo.name, files, "main"))

    def label(self) -> None:
        """Set a label that all clients set."""
        id, made = self._any()
        self.client.store.repo(made.repo).set_label("latest", f"bundle:{id}")
        self.ledger.label(made.repo, "latest", id)

    def branch(self) -> None:
        """Create a branch that other clients may be creating at the same time."""
        id, made = self._any()
        name = f"b{self.client.random.randrange(4)}"
        self.client.store.repo(made.repo).create_branch(name, f"bundle:{id}")
        self.ledger.branch(made.repo, name, f"{self.name}, call {self.client.random.randrange(1 << 30)}")

    def read(self) -> None:
        """Read and verify a whole bundle of any client."""
        id, made = self._any()
        try:
            claim_files(self.client.store.repo(made.repo).bundle(f"bundle:{id}"), made.files)
        except (NotFound, Corrupt, Broken) as error:
            if self.ledger.is_safe(id):
                raise Broken(f"bundle {id} can't be read during concurrent work: {error}") from error
        self.ledger.counts["reads"] += 1

    def delete(self) -> None:
        """Delete a bundle that is on no branch; a label keeps it."""
        if not self._mine:
            raise NotFound("nothing to delete")
        id = self.client.random.choice(self._mine)
        self.ledger.doubt(id)
        try:
            self.client.store.repo(self.ledger.bundles[id].repo).delete_bundle(f"bundle:{id}")
        except Conflict:
            self.ledger.trust(id)
            raise
        self._mine.remove(id)
        self._deleted.append(id)
        self.ledger.counts["deletes"] += 1

    def undelete(self) -> None:
        """Undelete a bundle. Raises NotFound if gc was faster."""
        if not self._deleted:
            raise NotFound("nothing to bring back")
        id = self._deleted.pop()
        self.client.store.repo(self.ledger.bundles[id].repo).undelete_bundle(id)
        self.ledger.trust(id)
        self._mine.append(id)


@dataclass(slots=True)
class Collector:
    """Collects garbage repeatedly, sometimes with no grace at all."""

    client: Client
    ledger: Ledger

    def live(self, is_over: threading.Event) -> None:
        """Run until the other clients have ended."""
        while not is_over.wait(self.client.random.uniform(0, 0.3)):
            try:
                self.client.store.gc(grace=self.client.random.choice([0.0, 0.2, 1.0]))
                self.ledger.counts["gcs"] += 1
            except (Conflict, AlreadyExists, Unavailable):
                self.ledger.counts["refused or failed"] += 1
