"""Nothing of any content is readable in the store, after whatever people do with it; and what stays readable is known."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from tests.encryption.builders import KEY, new_store, opened, plain_of

from sheaf.format import keys
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.testing.invariants import assert_sound

BIG = random.Random(1).randbytes(900_000)  #: cut into many chunks, so it gets a recipe
FILES = {
    "a secret name.txt": b"some secret words " * 9,
    "folder of secrets/numbers.csv": b"".join(b"%d;secret\n" % n for n in range(20_000)),
    "folder of secrets/big.bin": BIG,
    "sécret": b"x",
}
ERASED = b"words that nobody may ever read again " * 30


@pytest.fixture
def lived(tmp_path: Path) -> Iterator[tuple[Backend, Backend]]:
    """A store in which all was done that can be done, and its replica."""
    primary, copy = new_store(MemoryBackend("leaks/primary")), MemoryBackend("leaks/copy")
    folder = tmp_path / "folder"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "gone.txt").write_bytes(ERASED)
    with opened(primary, open_location=lambda url: copy) as store:
        _live(store, folder)
        plain_of(store).create("staging/upload/part", BIG)
        assert_sound(store)
        yield primary, copy
    for place in (primary, copy):
        for stat in [*place.list()]:
            place.delete(stat.key)


def _live(store: Store, folder: Path) -> None:
    repo = store.create_repo("names-are-readable")
    store.replicas.add("memory://leaks/copy", policy="all")
    repo.upload(folder, message="so are messages", label="and-labels")
    (folder / "gone.txt").unlink()
    repo.upload(folder, message="second")
    with repo.edit(message="third") as edit:
        edit.copy("folder of secrets", "copied secrets", source=repo.bundle())
        edit.put("folder of secrets/big.bin", BIG[:500_000] + b"!" + BIG[500_000:])
        edit.commit()
    diamond = repo.create_diamond()
    for name in ("one", "two"):
        diamond.add_split(folder, split_id=name)
    diamond.commit(message="joined", mode="ignored")
    run = store.runs.start(
        command=("train", "--password", "of a secret run"), inputs=(), environment={"TOKEN": "secret"}
    )
    store.runs.end(run, "succeeded")
    store.erasure.erase(content=blake3(ERASED).hexdigest(), reason="secret reasons", now=True)
    store.gc(grace=0)


def everything(backend: Backend) -> Iterator[tuple[str, bytes]]:
    for stat in backend.list():
        yield stat.key, stat.key.encode() + b"\n" + backend.get(stat.key)


def traces(backend: Backend, wanted: dict[str, bytes]) -> list[tuple[str, str]]:
    return [(key, what) for key, data in everything(backend) for what, piece in wanted.items() if piece in data]


def test_no_content_is_readable_and_no_name_of_a_file(lived: tuple[Backend, Backend]) -> None:
    wanted = {f"name {name}": part.encode() for name in FILES for part in name.split("/") if len(part) > 3}
    for name, content in {**FILES, "erased": ERASED}.items():
        if len(content) > 16:
            stretches = range(0, len(content) - 16, 8_000)
            wanted |= {f"{name} at {at}": content[at : at + 16] for at in stretches}
    wanted |= {word: word.encode() for word in ("secret", "password", "TOKEN")}
    for place in lived:
        assert not traces(place, wanted)
    with opened(lived[0], seed="reader") as store:
        assert len(traces(plain_of(store), wanted)) > 100, "they would be found if they were there"


def test_no_hash_of_a_content_or_a_chunk_is_readable(lived: tuple[Backend, Backend]) -> None:
    with opened(lived[0], seed="reader") as store:
        plain = plain_of(store)
        hashes = {blake3(content).digest() for content in (*FILES.values(), ERASED)}
        from tests.erase.builders import hashes_in

        hashes |= hashes_in(plain)
        assert len(hashes) > 20
        known = {stat.key for stat in plain.list()}
        assert keys.erased(blake3(ERASED).digest()) in known
    wanted = {hash.hex(): hash for hash in hashes} | {f"{hash.hex()} in hex": hash.hex().encode() for hash in hashes}
    for place in lived:
        assert not traces(place, wanted)


def test_what_stays_readable_is_what_the_documents_say(lived: tuple[Backend, Backend]) -> None:
    for place in lived:
        told = b"".join(data for _, data in everything(place))
        with opened(lived[0], seed="reader") as store:
            bundle = store.repo("names-are-readable").bundle("and-labels")
        for word in ("names-are-readable", "so are messages", "and-labels", "joined", bundle.version, bundle.id):
            assert word.encode() in told
        plain = {key.split("/")[0] for key, data in everything(place) if b"SHFE" not in data}
        assert plain <= {"sheaf.json", "log", "pages", "repos", "sessions", "keys", "replica", "behind"}


def test_a_replica_opens_with_the_same_key_and_holds_the_same_bytes(lived: tuple[Backend, Backend]) -> None:
    primary, copy = (
        {key: data for key, data in everything(place) if key.startswith(("packs/", "nodes/", "keys/"))}
        for place in lived
    )
    assert primary == copy
    with opened(lived[1], KEY, seed="reader") as store:
        assert_sound(store)
        assert store.repo("names-are-readable").bundle("and-labels").read("sécret") == b"x"
