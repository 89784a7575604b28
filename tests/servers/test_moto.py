"""The S3 emulator answers one request at a time, so that no test sees its races."""

from __future__ import annotations

import http.client
import io
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.servers.moto import SIGNED, TURN, make_bucket, moto_s3, one_at_a_time


@pytest.mark.parametrize("is_chunked", [False, True])
def test_the_body_is_read_before_the_turn(is_chunked: bool) -> None:
    read_in_turn, answered_in_turn, bodies = [], [], []

    class Source(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            read_in_turn.append(TURN.locked())
            return super().read(size)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answered_in_turn.append(TURN.locked())
        bodies.append(environ["wsgi.input"].read())
        yield b"answer"
        answered_in_turn.append(TURN.locked())

    environ: dict[str, Any] = {"wsgi.input": Source(b"body"), "CONTENT_LENGTH": "4"}
    if is_chunked:
        environ = {"wsgi.input": Source(b"body"), "wsgi.input_terminated": True}
    assert one_at_a_time(application)(environ, lambda *_: None) == [b"answer"]
    assert (read_in_turn, answered_in_turn, bodies) == ([False], [True, True], [b"body"])
    assert not TURN.locked()


def test_one_of_many_creators_wins_even_if_the_emulator_is_slow_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.s3.models import S3Backend

    real, entered = S3Backend.put_object, threading.Barrier(2)

    def slow(*args: Any, **options: Any) -> Any:
        """Waits between the look and the write until another request is between them, too; or for a moment."""
        try:
            entered.wait(0.2)
        except threading.BrokenBarrierError:
            entered.reset()
        return real(*args, **options)

    monkeypatch.setattr(S3Backend, "put_object", slow)
    with moto_s3() as endpoint:
        make_bucket(endpoint, "raced")
        answers: list[int] = []
        threads = [threading.Thread(target=lambda n=n: answers.append(_create(endpoint, n))) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [200, 412, 412, 412]


def _create(endpoint: str, n: int) -> int:
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=30)
    headers = {"authorization": SIGNED, "if-none-match": "*"}
    connection.request("PUT", "/raced/key", body=f"writer {n}".encode(), headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status
