"""A bucket that answers late, twice, wrongly or not at all: what the caller is told stays true."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

import obstore.exceptions
import pytest
from tests.servers.proxy import Dropped, Forward, Hook, Request, Response, proxy

from sheaf.errors import Bug, Corrupt, Denied, NoSpace, NotFound, Refused, SheafError, Unavailable, Unsupported
from sheaf.storage.bucket.obstore_errors import BY_CLASS, translate
from sheaf.storage.open import open_backend
from sheaf.storage.port import Backend, Created


def answer(status: int, code: str = "") -> Response:
    return Response(status, {"content-type": "application/xml"}, f"<Error><Code>{code}</Code></Error>".encode())


def refuse(status: int, code: str = "") -> Hook:
    """Answers without asking the server."""
    return lambda _request, _forward: answer(status, code)


def spoil(status: int, code: str = "") -> Hook:
    """The server does it, the answer says otherwise."""

    def hook(request: Request, forward: Forward) -> Response:
        forward(request)
        return answer(status, code)

    return hook


def drop_before(_request: Request, _forward: Forward) -> Response:
    raise Dropped


def drop_after(request: Request, forward: Forward) -> Response:
    forward(request)
    raise Dropped


def apply_twice(request: Request, forward: Forward) -> Response:
    forward(request)
    return forward(request)


def answer_late(request: Request, forward: Forward) -> Response:
    found = forward(request)
    time.sleep(1)
    return found


def let_pass(request: Request, forward: Forward) -> Response:
    return forward(request)


@dataclass
class Script:
    """What happens to the next requests of a method; afterwards they pass. Keeps all that was asked."""

    steps: dict[str, list[Hook]] = field(default_factory=dict)
    seen: list[Request] = field(default_factory=list)

    def __call__(self, request: Request, forward: Forward) -> Response:
        self.seen.append(request)
        steps = self.steps.get(request.method)
        return steps.pop(0)(request, forward) if steps else forward(request)

    def count(self, method: str) -> int:
        return sum(request.method == method for request in self.seen)


Opened = Callable[..., tuple[Backend, Script]]


@pytest.fixture
def opened(s3_endpoint: str, fresh: str) -> Iterator[Opened]:
    """Opens a bucket behind a script: ``opened(PUT=[…], query="…")``."""
    with ExitStack() as stack:

        def build(query: str = "", **steps: list[Hook]) -> tuple[Backend, Script]:
            script = Script(steps)
            server: AbstractContextManager[str] = proxy(s3_endpoint, script)
            url = f"s3://bucket/{fresh}?endpoint={stack.enter_context(server)}&retries=3&retry_pause_s=0.01"
            return open_backend(url + query), script

        yield build


# ── creates ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "expected", "puts"),
    [
        (refuse(409, "ConditionalRequestConflict"), Created.CREATED, 2),
        (refuse(412, "PreconditionFailed"), Created.CREATED, 2),
        (refuse(503, "SlowDown"), Created.CREATED, 2),
        (refuse(500, "InternalError"), Created.CREATED, 2),
        (refuse(429), Created.CREATED, 2),
        (drop_before, Created.CREATED, 2),
        (drop_after, Created.MINE, 1),
        (spoil(500, "InternalError"), Created.MINE, 1),
        (spoil(503, "SlowDown"), Created.MINE, 1),
        (spoil(409, "ConditionalRequestConflict"), Created.MINE, 1),
        (apply_twice, Created.MINE, 1),
    ],
)
def test_a_doubtful_create_is_settled_by_reading_back(
    opened: Opened, fault: Hook, expected: Created, puts: int
) -> None:
    backend, script = opened(PUT=[fault])
    assert backend.create("log/1", b"mine") is expected
    assert backend.get("log/1") == b"mine"
    assert script.count("PUT") == puts


def test_a_create_whose_answer_comes_too_late_is_mine(opened: Opened) -> None:
    backend, _ = opened("&timeout_s=0.3", PUT=[answer_late])
    assert backend.create("log/1", b"mine") is Created.MINE


def test_somebody_elses_object_is_other_after_one_request(opened: Opened) -> None:
    backend, script = opened()
    backend.create("log/1", b"theirs")
    assert backend.create("log/1", b"mine") is Created.OTHER
    assert script.count("PUT") == 2


def test_a_lost_answer_to_a_lost_race_is_other(opened: Opened) -> None:
    backend, _ = opened(PUT=[let_pass, drop_after])
    backend.create("log/1", b"theirs")
    assert backend.create("log/1", b"mine") is Created.OTHER
    assert backend.get("log/1") == b"theirs"


def test_the_reading_back_may_fail_too(opened: Opened) -> None:
    backend, _ = opened(PUT=[drop_after], GET=[refuse(503, "SlowDown")])
    assert backend.create("log/1", b"mine") is Created.MINE


def test_a_denied_create_is_not_tried_again(opened: Opened) -> None:
    backend, script = opened(PUT=[refuse(403, "AccessDenied")])
    with pytest.raises(Denied, match="AccessDenied"):
        backend.create("log/1", b"mine")
    assert (script.count("PUT"), script.count("GET")) == (1, 0)


@pytest.mark.parametrize("status", [503, 409, 412])
def test_a_create_that_never_succeeds_ends(opened: Opened, status: int) -> None:
    backend, script = opened(PUT=[refuse(status)] * 99)
    with pytest.raises(Unavailable, match=f"write log/1 in s3://bucket.*{status}"):
        backend.create("log/1", b"mine")
    assert script.count("PUT") == 4


def test_a_large_object_is_one_request(opened: Opened) -> None:
    backend, script = opened()
    backend.create("packs/x", [bytes(1 << 20)] * 33)
    assert [request.method for request in script.seen] == ["PUT"]
    assert script.seen[0].headers["if-none-match"] == "*"


# ── reads ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", [refuse(503, "SlowDown"), refuse(500), drop_before, refuse(429)])
def test_reads_are_tried_again(opened: Opened, fault: Hook) -> None:
    backend, script = opened()
    backend.create("a/b", b"0123456789")
    script.steps = {"GET": [fault], "HEAD": [fault], "DELETE": [fault]}
    assert backend.get("a/b") == b"0123456789"
    script.steps["GET"] = [fault]
    assert bytes(backend.get_ranges("a/b", [(2, 3)])[0]) == b"234"
    script.steps["GET"] = [fault]
    assert [stat.key for stat in backend.list("a/")] == ["a/b"]
    script.steps["GET"] = [fault]
    assert backend.newest("a/") == "a/b"
    assert backend.stat("a/b") is not None
    backend.delete("a/b")
    assert not any(script.steps.values())


def test_a_listing_goes_on_where_it_broke_off(opened: Opened) -> None:
    backend, script = opened()
    keys = [f"k/{n:04}" for n in range(1_100)]
    for key in keys:
        backend.create(key, b"")
    script.steps["GET"] = [let_pass, refuse(503), drop_before]
    assert [stat.key for stat in backend.list("k/")] == keys


def test_a_body_that_ends_too_early_is_read_again(opened: Opened) -> None:
    backend, script = opened()
    backend.create("a", b"0123456789" * 100)

    def shorten(request: Request, forward: Forward) -> Response:
        found = forward(request)
        return Response(found.status, {**found.headers, "content-length": "2000"}, found.body)

    script.steps["GET"] = [shorten]
    assert backend.get("a") == b"0123456789" * 100


def test_a_range_that_is_answered_short_is_corrupt(opened: Opened) -> None:
    backend, script = opened()
    backend.create("a", b"0123456789")

    def shorten(request: Request, forward: Forward) -> Response:
        found = forward(request)
        return Response(206, {**found.headers, "content-range": "bytes 0-3/10"}, found.body[:4])

    script.steps["GET"] = [shorten] * 9
    with pytest.raises(Corrupt):
        backend.get_ranges("a", [(0, 8)])


# ── what errors become ────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "code", "category"),
    [
        (400, "InvalidRequest", Refused),
        (400, "RequestTimeout", Unavailable),
        (400, "ExpiredToken", Denied),
        (401, "", Denied),
        (403, "AccessDenied", Denied),
        (403, "QuotaExceeded", NoSpace),
        (404, "NoSuchKey", NotFound),
        (404, "NoSuchBucket", NotFound),
        (418, "Teapot", Refused),
        (429, "TooManyRequests", Unavailable),
        (500, "InternalError", Unavailable),
        (501, "NotImplemented", Unsupported),
        (502, "", Unavailable),
        (503, "SlowDown", Unavailable),
        (507, "XMinioStorageFull", NoSpace),
    ],
)
def test_every_status_has_a_category(opened: Opened, status: int, code: str, category: type[SheafError]) -> None:
    calls: dict[str, Callable[[Backend], object]] = {
        "GET": lambda backend: backend.get("a"),
        "PUT": lambda backend: backend.create("a", b""),
        "DELETE": lambda backend: backend.delete("a"),
    }
    for method, call in calls.items():
        if method == "DELETE" and category is NotFound:
            continue
        backend, _ = opened(**{method: [refuse(status, code)] * 9})
        with pytest.raises(category) as caught:
            call(backend)
        assert "a in s3://bucket" in caught.value.message
        assert str(status) in caught.value.message
        assert code in caught.value.message
        assert "\n" not in caught.value.message


def test_a_missing_bucket_is_named(s3_endpoint: str) -> None:
    backend = open_backend(f"s3://nowhere?endpoint={s3_endpoint}")
    for call in (lambda: backend.get("a"), lambda: list(backend.list()), lambda: backend.create("a", b"")):
        with pytest.raises(NotFound, match=r"s3://nowhere: 404 NoSuchBucket") as caught:
            call()
        assert "bucket" in caught.value.hint


def test_an_endpoint_where_nothing_listens_is_unavailable() -> None:
    backend = open_backend("s3://bucket?endpoint=http://127.0.0.1:9&retries=1&retry_pause_s=0.01")
    for call in (lambda: backend.get("a"), lambda: list(backend.list()), lambda: backend.create("a", b"")):
        with pytest.raises(Unavailable, match="connection was refused"):
            call()


def test_every_class_of_the_library_is_mapped() -> None:
    classes = [
        cls for cls in vars(obstore.exceptions).values() if isinstance(cls, type) and cls.__name__ != "NotFoundError"
    ]
    assert len(classes) >= 10
    for cls in classes:
        assert cls in BY_CLASS, cls
        translated = translate(cls("something\nDebug source: …"), "read a in s3://b")
        assert isinstance(translated, SheafError)
        assert translated.kind != "error"


def test_an_error_of_an_unknown_class_is_a_bug() -> None:
    assert translate(ZeroDivisionError("x"), "read a").kind == "bug"


def test_the_end_of_a_rust_library_is_an_error_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:99999")
    monkeypatch.setattr(
        "sheaf.storage.bucket.clients._check_variables", lambda *names: None
    )  # as if one more were read
    with pytest.raises(Bug, match="the storage library failed"):
        open_backend("s3://bucket").stat("a")


def test_signatures_in_addresses_are_not_passed_on() -> None:
    text = (
        "Generic error: GET https://h/c/k?sv=1&sig=SECRET%3D&x=2 in 1s - status code: 500 x: <Code>InternalError</Code>"
    )
    translated = translate(obstore.exceptions.GenericError(text), "read k in az://c")
    assert "SECRET" not in f"{translated} {translated.hint} {translated.__cause__}"
    assert "sig=…" in str(translated.__cause__)
