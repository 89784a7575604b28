"""Encrypted stores of every format that a release has written are read by this release and by the specification."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from tests.compat.independent_format import Damaged
from tests.compat.make_golden_encrypted import KEY, PASSPHRASE, SECRET, described, make
from tests.compat.stores import ROOT, alive, expected, golden_stores, independently
from tests.compat.stores import described as shown

import sheaf
from sheaf.errors import Corrupt, Refused

GOLDEN = golden_stores("encrypted-v*")


@pytest.mark.parametrize("secret", [KEY, PASSPHRASE], ids=["key", "passphrase"])
def test_this_release_reads_all_of_it(golden: Path, secret: bytes | str) -> None:
    with sheaf.connect(str(golden / "store"), key=secret) as store:
        assert shown(store) == alive(expected(golden))
        assert store.check(read_data=True).problems == []


@pytest.mark.parametrize("secret", [KEY.hex(), PASSPHRASE], ids=["key", "passphrase"])
def test_a_reader_that_was_written_from_the_specification_does_too(golden: Path, tmp_path: Path, secret: str) -> None:
    """In a process where Sheaf can't be imported."""
    run = "import runpy, sys; sys.modules['sheaf'] = None; del sys.argv[0]; "
    run += "runpy.run_module('tests.compat.independent_decrypt', run_name='__main__')"
    command = [sys.executable, "-c", run, "independent_decrypt", str(golden / "store"), secret, str(tmp_path / "plain")]
    subprocess.run(command, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, cwd=ROOT, check=True)
    assert independently(tmp_path / "plain") == expected(golden)


def test_this_release_writes_on(golden: Path, tmp_path: Path) -> None:
    with sheaf.connect(str(golden / "store"), key=KEY) as store:
        repo = store.repo("faces")
        before = repo.bundle("v2")
        before.download(tmp_path / "copy")
        (tmp_path / "copy" / "secret.txt").write_bytes(SECRET)
        with pytest.raises(Refused, match="was erased"):
            repo.upload(tmp_path / "copy", message="again")
        (tmp_path / "copy" / "secret.txt").write_bytes(b"another\n")
        upload = repo.upload(tmp_path / "copy", message="another", label="v3")
        assert upload.new_bytes < 20_000
        (tmp_path / "copy" / "secret.txt").unlink()
        assert repo.upload(tmp_path / "copy", message="back").bundle.version == before.version
        store.gc(grace=0)
        assert shown(store) == alive(described(golden / "store", KEY.hex()))


@pytest.mark.parametrize("folder", ["packs", "nodes", "moved", "index", "erased", "receipts", "keys", "runs"])
def test_every_flipped_bit_is_noticed(golden: Path, folder: str) -> None:
    choose = min if folder == "keys" else max  # the slot of the key
    victim = choose(
        (path for path in (golden / "store" / folder).rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 4
    victim.chmod(0o600)
    victim.write_bytes(data)
    key = victim.relative_to(golden / "store").as_posix()
    with pytest.raises(Corrupt, match=key), sheaf.connect(str(golden / "store"), key=KEY) as store:
        backend = store._core.backend
        for stat in backend.list(f"{folder}/"):
            backend.get(stat.key)
    with pytest.raises((Damaged, InvalidTag)):
        described(golden / "store", KEY.hex())


def test_the_script_makes_the_same_store_again(tmp_path: Path) -> None:
    make(tmp_path / "store")
    assert described(tmp_path / "store", KEY.hex()) == expected(GOLDEN[-1])
