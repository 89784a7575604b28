"""Makes the golden encrypted store and its description: python -m tests.compat.make_golden_encrypted DIR"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from blake3 import blake3
from tests.compat.independent_decrypt import main as decrypted
from tests.compat.independent_reader import Store
from tests.compat.make_golden import AUTHOR, put, settle

from sheaf.repo.connect import connect, init
from sheaf.testing.clock import SteeredClock

__all__ = ["KEY", "PASSPHRASE", "make"]

KEY = bytes(range(32))
PASSPHRASE = "grün wie der Wald"
SECRET = b"a password that was erased\n"


def make(target: Path) -> None:
    """The store in a new folder."""
    clock = SteeredClock("golden encrypted", 1_790_000_000)
    url = f"file://{target}?durability=none"
    init(url, author=AUTHOR, key=KEY, clock=clock, probe=False).close()
    with connect(url, author=AUTHOR, key=KEY, clock=clock) as store, tempfile.TemporaryDirectory() as name:
        clock.tick()
        store.keys.add(PASSPHRASE, note="by heart")
        folder, repo = Path(name), store.create_repo("faces")
        put(folder, "a.txt", b"hello\n")
        put(folder, "secret.txt", SECRET)
        put(folder, "data/numbers.txt", b"".join(b"%09d\n" % n for n in range(60_000)))
        put(folder, "data/noise.bin", blake3(b"noise").digest(150_000))
        settle(folder)
        gone = repo.upload(folder, message="first", branch=None, concurrency=1).bundle
        clock.tick()
        (folder / "secret.txt").unlink()
        put(folder, "data/numbers.txt", b"".join(b"%09d\n" % n for n in range(70_000)))
        settle(folder)
        repo.upload(folder, message="second", label="v2", concurrency=1)
        diamond = repo.create_diamond()
        clock.tick()
        diamond.add_split(folder, split_id="part", concurrency=1)
        clock.tick()
        diamond.commit(message="joined", branch="diamond")
        store.erasure.erase(content=blake3(SECRET).hexdigest(), reason="asked for", now=True)
        repo.delete_bundle(gone.id)
        store.runs.end(store.runs.start(command=("train",), environment={"LANG": "C"}), "succeeded")


def described(store: Path, secret: str) -> Any:
    """What is in the store, by the readers that were written from the specification."""
    with tempfile.TemporaryDirectory() as name:
        decrypted(store, secret, Path(name))
        return Store(Path(name)).everything()


def main(target: Path) -> None:
    """Everything below a folder."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    make(target / "store")
    text = json.dumps(described(target / "store", KEY.hex()), indent=1, sort_keys=True, ensure_ascii=True)
    (target / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
