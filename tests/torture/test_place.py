"""A scratch prefix is the only thing that is touched, and it goes whatever happens."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest

import sheaf
from sheaf.errors import Denied, InvalidInput, NoSpace, Refused
from sheaf.storage.port import Backend, Buffer, Created
from sheaf.storage.storage_options import StorageOptions
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.torture.scratch_location import ScratchLocation, scratch

OPTIONS = StorageOptions()


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("/data/a b?c", "file:///data/a%20b%3Fc"),
        ("file:///data/x?durability=none", "file:///data/x"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/a%20b/c/?region=x", "s3://bucket/a%20b/c"),
        ("memory://name/x", "memory://name/x"),
    ],
)
def test_a_place_keeps_its_options_beside_its_url(url: str, bare: str) -> None:
    location = ScratchLocation.at(url, OPTIONS)
    assert location.url == bare
    assert ScratchLocation.at(bare, location.options) == location == pickle.loads(pickle.dumps(location))
    assert location.below("x").url == f"{bare}/x"


def test_options_of_the_url_count() -> None:
    assert ScratchLocation.at("file:///x?durability=none", OPTIONS).options.durability == "none"


def test_a_customers_key_from_a_pipe_can_be_read_only_once() -> None:
    with pytest.raises(InvalidInput, match="readable several times"):
        ScratchLocation.at("s3://b?sse=customer&sse_customer_key_file=/dev/fd/7", OPTIONS)


def test_what_was_there_stays_and_what_was_made_goes(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with scratch(ScratchLocation.at(str(tmp_path / "new" / "deeper"), OPTIONS)) as location:
        with location.open() as backend:
            backend.create("a/b", b"x")
        assert len(files(tmp_path)) > 3
    assert files(tmp_path) == {"mine"}


def test_it_goes_on_errors_and_interrupts_too(tmp_path: Path) -> None:
    for error in (KeyboardInterrupt, SystemExit, ValueError):
        with pytest.raises(error), scratch(ScratchLocation.at(str(tmp_path / "new"), OPTIONS)) as location:
            with location.open() as backend:
                backend.create("a/b", b"x")
            raise error
    assert files(tmp_path) == set()


def test_it_is_kept_if_one_wants_to_look_at_it(tmp_path: Path) -> None:
    with scratch(ScratchLocation.at(str(tmp_path), OPTIONS), keep=True) as location, location.open() as backend:
        backend.create("a/b", b"x")
    (kept,) = tmp_path.iterdir()
    assert (kept / "a/b").read_bytes() == b"x"


def test_a_store_is_refused_and_a_folder_in_it_is_not(tmp_path: Path) -> None:
    with sheaf.init(str(tmp_path / "store"), probe=False):
        before = files(tmp_path)
    with (
        pytest.raises(Refused, match="there is a store"),
        scratch(ScratchLocation.at(str(tmp_path / "store"), OPTIONS)),
    ):
        pass
    with scratch(ScratchLocation.at(str(tmp_path / "store" / "try"), OPTIONS)):
        assert files(tmp_path) > before
    assert files(tmp_path) == before


def test_places_in_memory_are_emptied() -> None:
    outer = ScratchLocation.at("memory://emptied", OPTIONS)
    with scratch(outer) as location:
        location.open().create("a", b"x")
        assert [stat.key for stat in location.open().list()] == ["a"]
    assert list(location.open().list()) == []


class _Full(WrapperBackend):
    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        raise NoSpace(f"no room for {key}")


class _Undeletable(WrapperBackend):
    def delete(self, key: str) -> None:
        raise Denied(f"can't delete {key}")


@pytest.mark.parametrize(("wrap", "error"), [(_Full, NoSpace), (_Undeletable, Denied)])
def test_whoever_may_not_write_or_delete_is_told_before_anything_else(
    wrap: type[Backend], error: type[Exception]
) -> None:
    with pytest.raises(error), scratch(ScratchLocation("memory://refused", OPTIONS, wrap)):
        pytest.fail("nothing is tried there")
