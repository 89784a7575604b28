"""From URLs to backends: what is understood, and what each mistake is told."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from sheaf.errors import InvalidInput
from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.open import SCHEMES, open_backend, parse_location
from sheaf.storage.storage_options import StorageOptions
from sheaf.storage.wrappers.rate_limit import LimitBackend


def test_a_plain_path_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (str(tmp_path / "s"), "s", "./s", "x/../s", f"file://{tmp_path}/s", f"file://localhost{tmp_path}/s"):
        backend = open_backend(text)
        assert isinstance(backend, FolderBackend)
        assert backend.root == tmp_path / "s"


def test_opening_makes_nothing(tmp_path: Path) -> None:
    backend = open_backend(f"{tmp_path}/s")
    assert list(backend.list()) == []
    assert backend.newest("log/") is None
    assert not list(tmp_path.iterdir())


def test_names_with_odd_characters(tmp_path: Path) -> None:
    for text, name in (
        (f"{tmp_path}/a?b", "a?b"),
        (f"file://{tmp_path}/a%3Fb%20c", "a?b c"),
        (f"{tmp_path}/a b#é", "a b#é"),
        (f"{tmp_path}/c:d", "c:d"),
    ):
        backend = open_backend(text)
        assert isinstance(backend, FolderBackend)
        assert backend.root == tmp_path / name
        backend.create("k", b"")
        assert (tmp_path / name / "k").exists()
        assert "?" not in backend.url


def test_memory_stores_meet_by_name() -> None:
    open_backend("memory://meeting").create("k", b"1")
    assert open_backend("memory://meeting").get("k") == b"1"
    assert open_backend("memory://elsewhere").stat("k") is None
    assert open_backend("memory://").stat("k") is None


@pytest.mark.parametrize(
    ("url", "words", "hint"),
    [
        ("", "empty", ""),
        ("s4://b", "s4://", "s3://"),
        ("s3a://b", "s3a://", "did you mean s3://"),
        ("gcs://b", "gcs://", "did you mean gs://"),
        ("azure://b", "azure://", "did you mean az://"),
        ("fiel:///x", "fiel://", "did you mean file://"),
        ("https://example.invalid/x", "https://", "known: file://"),
        ("s3:bucket", "s3:", "two slashes"),
        ("file:/x", "file:", "two slashes"),
        ("file://host/x", "another machine", "file:///path"),
        ("s3://KEY:SECRET@bucket", "contains credentials", "environment"),
        ("s3://bucket#x", "'#'", "%23"),
        ("memory://x?colour=red", "'colour'", "endpoint"),
        ("memory://x?colur=red&regoin=x", "'colur'", "known"),
        ("memory://x?regoin=x", "'regoin'", "did you mean region?"),
        ("memory://x?retries=many", "'many' for option retries", "whole number"),
        ("memory://x?concurrency=0", "concurrency=0", "from 1"),
        ("memory://x?concurrency=-1", "concurrency=-1", "from 1"),
        ("memory://x?retries=-1", "retries=-1", "from 0"),
        ("memory://x?retry_pause_s=nan", "retry_pause_s=nan", "from 0"),
        ("memory://x?timeout_s=0", "timeout_s=0", "from 0.001"),
        ("memory://x?timeout_s=inf", "timeout_s=inf", "from 0.001"),
        ("memory://x?timeout_s=nan", "timeout_s=nan", "from 0.001"),
        ("memory://x?connect_timeout_s=-1", "connect_timeout_s=-1", "from 0.001"),
        ("memory://x?connect_timeout_s=1e300", "connect_timeout_s=1e+300", "from 0.001"),
        ("memory://x?limit_rate=-5", "limit_rate must be positive, not -5", "omit limit_rate"),
        (
            "s3://b?endpoint=minio:9000",
            "endpoint 'minio:9000' has no scheme",
            "http://minio:9000 or https://minio:9000",
        ),
        ("s3://b?endpoint=127.0.0.1:9", "endpoint '127.0.0.1:9' has no scheme", "http://127.0.0.1:9"),
        ("s3://b?endpoint=https//minio:9000", "has no scheme", "https://minio:9000"),
        ("s3://b?endpoint=KEY:SECRET@minio", "has no scheme", "http://minio"),
        ("s3://b?endpoint=http://KEY:SECRET@minio", "endpoint contains credentials", "environment"),
        ("s3://b?endpoint=htp://minio", "must begin with one of http://, https://", "http://minio"),
        ("s3://b?endpoint=", "has no scheme", "http://"),
        ("gs://b?endpoint=http://", "has no host name", "http://HOST"),
        ("gs://b?endpoint=http://h:99999", "has no host name", "http://HOST:PORT"),
        ("gs://b?endpoint=http://[::1", "has no host name", "http://HOST:PORT"),
        ("az://b?endpoint=http://a%20b", "contains a blank", "%XX"),
        ("az://b?endpoint=http://a%0Ab", "contains a blank", "%XX"),
        ("az://b?endpoint=http://h/?x=1", "more than a server", "?"),
        ("s3://b?proxy=a%20b", "a b' contains a blank", "%XX"),
        ("s3://b?proxy=ftp://x", "proxy 'ftp://x' must begin with one of", "http://x"),
        ("s3://b?region=a%0Ab", "region", "letters"),
        ("s3://b?region=", "region '' is not a valid name", "letters"),
        ("az://b?account=a/b", "account 'a/b'", "letters"),
        ("s3://my bucket", "is not a valid bucket name", "letters"),
        ("s3://b\u00fccket", "is not a valid bucket name", "letters"),
        ("s3://minio:9000/b", "is not a valid bucket name", "--endpoint http://minio:9000"),
        ("memory://x?anonymous=perhaps", "'perhaps' for option anonymous", "yes or no"),
        ("memory://x?retries=", "'' for option retries", ""),
        ("memory://x?anonymous=maybe", "'maybe' for option anonymous", ""),
        ("file:///x?durability=half", "'half' for option durability", "full, none"),
    ],
)
def test_each_mistake_is_named(url: str, words: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_backend(url)
    assert words in caught.value.message
    assert hint in caught.value.hint
    assert "SECRET" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("options", [{"endpoint": "minio:9000"}, {"concurrency": 0}, {"timeout_s": float("nan")}])
def test_options_from_python_are_judged_as_well(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        StorageOptions(**options)


@pytest.mark.parametrize("proxy", ["proxy:3128", "http://proxy:3128", "http://user:word@proxy", "socks5://proxy:1080"])
def test_proxies_that_work_are_left_alone(proxy: str) -> None:
    assert StorageOptions(proxy=proxy).proxy == proxy


@pytest.mark.parametrize("url", ["http://minio:9000", "https://h/base/", "http://[::1]:9000", "HTTP://h"])
def test_endpoints_that_work_are_left_alone(url: str) -> None:
    assert StorageOptions(endpoint=url).endpoint == url


def test_the_query_wins_over_the_options() -> None:
    options = StorageOptions(region="a", retries=1, timeout_s=3, path_style=True)
    place = parse_location("s3://b/p?region=c&path_style=no&concurrency=4&timeout_s=1.5", options)
    assert (place.scheme, place.host, place.path) == ("s3", "b", "p")
    said = place.options
    assert (said.region, said.retries, said.timeout_s, said.path_style, said.concurrency) == ("c", 1, 1.5, False, 4)


def test_every_option_can_stand_in_a_query() -> None:
    samples = {"str": "x", "int": "3", "float": "2.5", "bool": "yes"}
    for name, kind in StorageOptions.__annotations__.items():
        text = next((sample for word, sample in samples.items() if word in kind), None)
        text = {"sse": "AES256", "durability": "none", "shared": "group"}.get(name, text)
        text = "http://127.0.0.1:9" if name in {"endpoint", "proxy"} else text
        assert text is not None, name
        assert getattr(StorageOptions().merged({name: text}), name) is not None


def test_every_scheme_opens() -> None:
    queries = {"s3": "?anonymous=1", "gs": "?anonymous=1", "az": "?anonymous=1&account=a"}
    for scheme in SCHEMES:
        backend = open_backend(f"{scheme}://{'' if scheme == 'file' else 'name'}/x{queries.get(scheme, '')}")
        assert backend.url.startswith(f"{scheme}://")


def test_a_rate_limit_wraps() -> None:
    backend = open_backend("memory://?limit_rate=1000000")
    assert isinstance(backend, LimitBackend)
    assert isinstance(backend.inner, MemoryBackend)
    with pytest.raises(InvalidInput, match="limit_rate must be positive"):
        open_backend("memory://?limit_rate=0")


@pytest.mark.parametrize("umask", [0o027, 0o077, 0o000])
def test_a_writer_without_the_option_keeps_a_shared_store_open_and_is_warned(
    tmp_path: Path, umask: int, caplog: pytest.LogCaptureFixture
) -> None:
    old = os.umask(umask)
    try:
        open_backend(f"file://{tmp_path}?shared=group").create("a/b", b"")
        forgetful = open_backend(f"file://{tmp_path}")
        assert forgetful.get("a/b") == b""
        assert not caplog.records
        for key in ("a/c", "new/folder/d"):
            forgetful.create(key, b"")
        forgetful.replace("a/c", b"again")
    finally:
        os.umask(old)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {0o660}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_dir()} == {0o2770}
    assert [record.getMessage() for record in caplog.records] == [
        f"file://{tmp_path}: the store is shared with a group, so new files are shared, too; set shared=group"
    ]


@pytest.mark.parametrize("umask", [0o002, 0o022])
def test_a_folder_that_was_there_before_does_not_open_a_store_to_others(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        (tmp_path / "s").mkdir()
        for n in range(2):
            open_backend(f"file://{tmp_path}/s").create(f"a/b{n}", b"")
    finally:
        os.umask(old)
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (tmp_path / "s").rglob("*")} == {0}


def test_modes_are_private_or_the_groups(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        open_backend(f"file://{tmp_path}/mine").create("a/b", b"")
        open_backend(f"file://{tmp_path}/ours?shared=group").create("a/b", b"")
    finally:
        os.umask(old)
    modes = {
        p: stat.S_IMODE((tmp_path / p).stat().st_mode) for p in ("mine", "mine/a", "mine/a/b", "ours/a", "ours/a/b")
    }
    assert modes == {"mine": 0o700, "mine/a": 0o700, "mine/a/b": 0o600, "ours/a": 0o2770, "ours/a/b": 0o660}
