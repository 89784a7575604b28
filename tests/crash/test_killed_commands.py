"""Commands are killed at random moments: nothing that stays is lost, and they can be repeated."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.erase.builders import hash_of, readable, traces

import sheaf
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.folder.backend import FolderBackend
from sheaf.testing.invariants import assert_complete, assert_sound

KILLS = 4
PROGRAM = "import sheaf.cli.main as it; print('begins', flush=True); it.main()"

again_and_again = [KILLS, pytest.param(150, marks=pytest.mark.slow)]


@pytest.fixture
def rng() -> random.Random:
    seed = int(os.environ.get("SHEAF_KILL_SEED", str(random.randrange(1 << 32))))
    print(f"SHEAF_KILL_SEED={seed}")  # shown if the test fails
    return random.Random(seed)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a repo, named by the environment that the commands inherit."""
    url = f"{(tmp_path / 'store').as_uri()}?durability=none"
    monkeypatch.setenv("SHEAF_STORE", url)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with sheaf.init(url, probe=False) as store:
        store.create_repo("faces")
    return tmp_path


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with sheaf.connect(str(home / "store"), cache=home / "reader") as opened:
        yield opened


def begin(*words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    return process


def complete(*words: str) -> float:
    """Run a command to its end. Returns its seconds after the interpreter has begun."""
    process = begin(*words)
    since = time.monotonic()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return time.monotonic() - since


def kill(took: float, rng: random.Random, *words: str) -> None:
    """Kill a command at some moment of its run."""
    with begin(*words) as process:
        time.sleep(rng.random() * took)
        process.kill()
        process.communicate()


def put(repo: Repo, files: dict[str, bytes]) -> str:
    with repo.edit(message="m") as edit:
        for path, content in files.items():
            edit.put(path, content)
        return edit.commit().id


def fill(repo: Repo, rng: random.Random) -> list[str]:
    """Two bundles that stay and two that are deleted, some of whose bytes lie in packs of the others."""
    stay = []
    for n in range(2):
        name, content = rng.randrange(10**9), rng.randbytes(50_000)
        gone = put(
            repo, {f"{name}/gone": rng.randbytes(300_000), f"{name}/stays": content, "counter": rng.randbytes(9)}
        )
        stay.append(put(repo, {f"{name}/gone": b"", f"{name}/{n}": rng.randbytes(20_000)}))
        repo.delete_bundle(gone)
    return stay


@pytest.mark.parametrize("kills", again_and_again)
def test_gc(home: Path, store: Store, rng: random.Random, kills: int) -> None:
    repo, gc = store.repo("faces"), ("store", "gc", "--grace", "0")
    kept = fill(repo, rng)
    took = complete(*gc)
    for _ in range(kills):
        kept += fill(repo, rng)
        kill(took, rng, *gc)
    assert_sound(store)
    complete(*gc)
    rest = store.gc(grace=0, dry_run=True)
    assert (rest.packs, rest.moved, rest.nodes, rest.objects, rest.unfinished) == (0, 0, 0, 0, [])
    assert set(kept) == {bundle.id for bundle in repo.bundles()}
    for bundle in repo.bundles():
        assert_complete(bundle)
    assert store.check(read_data=True).ok


@pytest.mark.parametrize("kills", again_and_again)
def test_erase(home: Path, store: Store, rng: random.Random, kills: int) -> None:
    repo = store.repo("faces")
    backend = FolderBackend(home / "store")

    def erase(secret: bytes) -> tuple[str, ...]:
        return ("store", "erase", hash_of(secret), "--reason", "x", "--now", "-y")

    def commit_secret() -> bytes:
        secret = rng.randbytes(100_000)
        put(repo, {f"{rng.randrange(5)}/secret": secret, "beside": rng.randbytes(100), "after": rng.randbytes(200_000)})
        return secret

    secrets = [commit_secret()]
    took = complete(*erase(secrets[0]))
    for _ in range(kills):
        secrets.append(commit_secret())
        kill(took, rng, *erase(secrets[-1]))
        assert_sound(store)
    store.erasure.erase(content=[hash_of(secret) for secret in secrets], reason="x", now=True)
    for secret in secrets:
        assert not traces(backend, secret)
    assert not list((home / "store" / "tmp").glob("*"))
    for bundle in repo.bundles():
        readable(bundle, secrets)
    assert store.check(read_data=True).ok


@pytest.mark.parametrize("kills", again_and_again)
@pytest.mark.parametrize("verb", ["download", "update"])
def test_files_that_arrive(home: Path, store: Store, rng: random.Random, kills: int, verb: str) -> None:
    repo = store.repo("faces")
    files = {f"{n % 7}/{n}": rng.randbytes(3000) for n in range(300)} | {"big": rng.randbytes(30_000_000)}
    command = ("bundle", verb, "--repo", "faces", "--bundle", put(repo, files), "--destination")
    complete(*command, str(home / "undisturbed"))
    took = complete(*command, str(home / "undisturbed 2"))
    dest = home / "dest"
    for _ in range(kills):
        kill(took, rng, *command, str(dest))
        for path, content in files.items():
            if (dest / path).exists():
                assert (dest / path).read_bytes() == content, path
    complete(*command, str(dest))
    assert {str(path.relative_to(dest)) for path in dest.rglob("*") if path.is_file()} >= files.keys()
    for path, content in files.items():
        assert (dest / path).read_bytes() == content
