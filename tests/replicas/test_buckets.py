"""A bucket as a replica and as the primary, behind a proxy that drops every connection when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.fixtures import dummy_credentials, fresh, s3_endpoint
from tests.servers.proxy import Dropped, Forward, Request, Response, proxy

import sheaf
from sheaf.errors import Refused, Unavailable
from sheaf.repo.store import Store
from sheaf.testing.invariants import assert_sound

__all__ = ["dummy_credentials", "fresh", "s3_endpoint"]


class Line:
    """The way to a server; nothing gets through while it is cut."""

    def __init__(self) -> None:
        self.is_cut = False
        self.url = ""

    def __call__(self, request: Request, forward: Forward) -> Response:
        if self.is_cut:
            raise Dropped
        return forward(request)


@pytest.fixture
def line(s3_endpoint: str, fresh: str) -> Iterator[Line]:
    made = Line()
    with proxy(s3_endpoint, made) as url:
        made.url = f"s3://bucket/replicas-{fresh}?endpoint={url}&retries=0"
        yield made


def folder(root: Path, name: str) -> Path:
    path = root / name
    path.mkdir()
    (path / "x").write_bytes(name.encode() * 50_000)
    return path


def messages(store: Store) -> list[str]:
    assert_sound(store)
    return [bundle.message for bundle in store.repo("faces").bundles()]


def test_a_bucket_that_is_cut_off(tmp_path: Path, line: Line) -> None:
    with sheaf.init(str(tmp_path / "a"), probe=False) as store:
        repo = store.create_repo("faces")
        store.replicas.add(line.url, policy="all")
        repo.upload(folder(tmp_path, "one"), message="1")
        line.is_cut = True
        with pytest.raises(Unavailable, match=r"nothing was committed.*s3://bucket"):
            repo.upload(folder(tmp_path, "two"), message="2")
        line.is_cut = False
        repo.upload(tmp_path / "two", message="2 again")
    with sheaf.connect(line.url) as store:
        assert messages(store) == ["1", "2 again"]


def test_a_bucket_that_was_the_primary_is_cut_off(tmp_path: Path, line: Line) -> None:
    vault = str(tmp_path / "b")
    with sheaf.init(line.url, probe=False) as store:
        store.create_repo("faces").upload(folder(tmp_path, "one"), message="1")
        store.replicas.add(vault, policy="all")
    with sheaf.connect(line.url, cache=tmp_path / "cache") as store:
        assert messages(store) == ["1"]
    line.is_cut = True
    with sheaf.connect(line.url, cache=tmp_path / "cache") as store:
        assert messages(store) == ["1"]
    with sheaf.connect(vault) as store:
        assert store.replicas.promote().unreachable
        store.repo("faces").upload(folder(tmp_path, "two"), message="2")
    line.is_cut = False
    with sheaf.connect(line.url) as store, pytest.raises(Refused, match="was promoted"):
        store.repo("faces").upload(tmp_path / "two", message="3")
