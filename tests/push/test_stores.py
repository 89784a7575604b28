"""Between plain and encrypted stores, by the command line, killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import sheaf
from sheaf.testing.invariants import assert_sound


def run(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {"HOME": str(home), "PATH": os.environ["PATH"]}
    call = [str(Path(sys.executable).with_name("sheaf")), *args]
    return subprocess.run(call, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A store with a repo of 5,000 files."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for i in range(5000):
        (folder / f"{i}.bin").write_bytes(b"%d" % i * 40)
    for i in range(40):
        (folder / f"{i}.noise").write_bytes(os.urandom(1 << 20))
    with sheaf.init(str(tmp_path / "one")) as store:
        repo = store.create_repo("faces")
        repo.upload(folder, message="first", label="v1")
    return tmp_path


def test_a_push_of_5000_files_that_is_killed_five_times_arrives_as_the_same_version(big: Path) -> None:
    target = big / "two"
    sheaf.init(str(target)).close()
    script = big / "kill.py"
    script.write_text(
        "import os, signal, sys, sheaf\n"
        "from sheaf.storage.folder.backend import FolderBackend\n"
        "left, create = int(sys.argv[1]), FolderBackend.create\n"
        "def limited(self, key, data):\n"
        "    global left\n"
        "    left -= self.url.endswith('/two') and key.startswith(('packs/', 'sessions/'))\n"
        "    if left < 0:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return create(self, key, data)\n"
        "FolderBackend.create = limited\n"
        f"sheaf.connect({str(big / 'one')!r}).repo('faces').push(sheaf.connect({str(target)!r}))\n"
    )
    for writes in (0, 1, 2, 1, 1):
        killed = subprocess.run([sys.executable, str(script), str(writes)], check=False)
        assert killed.returncode == -signal.SIGKILL
    done = run(big, "repo", "push", "faces", str(target), "--store", str(big / "one"), "--json")
    assert done.returncode == 0, done.stderr
    with sheaf.connect(str(target)) as store, sheaf.connect(str(big / "one")) as source:
        bundle = store.repo("faces").bundle("v1")
        assert bundle.id == source.repo("faces").bundle("v1").id
        assert bundle.version == source.repo("faces").bundle("v1").version
        assert bundle.verify().files == 5040
        assert_sound(store)


def test_a_repo_goes_into_an_encrypted_store_and_back(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"a" * 300_000)
    with sheaf.init(str(tmp_path / "plain")) as plain, sheaf.init(str(tmp_path / "secret"), key=b"k" * 32) as secret:
        made = plain.create_repo("faces").upload(folder, message="first").bundle
        plain.repo("faces").push(secret)
        assert secret.repo("faces").bundle(made.id).read("a") == b"a" * 300_000
        with sheaf.init(str(tmp_path / "third")) as third:
            secret.repo("faces").push(third)
            assert third.repo("faces").bundle("main").version == made.version
            assert_sound(third)
        assert_sound(secret)


def test_the_command_says_what_it_does(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("a")
    with sheaf.init(str(tmp_path / "one")) as one:
        made = one.create_repo("faces").upload(folder, message="first", label="v1").bundle
    sheaf.init(str(tmp_path / "two")).close()
    there, here = str(tmp_path / "two"), ("--store", str(tmp_path / "one"))
    planned = run(tmp_path, "repo", "push", "faces", there, "--dry-run", *here)
    assert planned.stdout.splitlines()[0] == "would copy 1 bundle to repo faces"
    done = run(tmp_path, "repo", "push", "faces", there, "--json", *here)
    assert json.loads(done.stdout)["bundles"] == [made.id]
    (tmp_path / "three").mkdir()
    sheaf.init(str(tmp_path / "three")).close()
    pulled = run(tmp_path, "repo", "pull", there, "faces", "--as", "people", "--store", str(tmp_path / "three"))
    assert pulled.stdout.splitlines()[1:] == [f"branch 'main' points to {made.id}", f"label 'v1' points to {made.id}"]
