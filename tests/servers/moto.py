"""Moto's S3 server in a thread."""

from __future__ import annotations

import http.client
import io
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

__all__ = ["SIGNED", "TURN", "make_bucket", "moto_s3", "one_at_a_time"]

#: Moto checks no signature, only that there is one.
SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"

#: Held while a server answers. Moto looks whether a key is free and writes it later, and its listings fail beside deletes:
#: without this, two creators of one key are both told that they made it. All servers of a process share its objects.
TURN = threading.Lock()

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def one_at_a_time(application: Application) -> Application:
    """The same WSGI application, which answers one request after the other; bodies are read before, beside each other."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        source = environ["wsgi.input"]
        is_chunked = environ.get("wsgi.input_terminated", False)
        environ["wsgi.input"] = io.BytesIO(source.read(-1 if is_chunked else int(environ.get("CONTENT_LENGTH") or 0)))
        with TURN:
            parts = application(environ, start_response)
            try:
                return list(parts)
            finally:
                getattr(parts, "close", lambda: None)()

    return answer


@contextmanager
def moto_s3() -> Iterator[str]:
    """The URL of an S3 server on a free port of this machine."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # Not moto's dispatcher of services: for each request it looks through the folders of all of them, which takes longer
    # than S3's answer.
    application = one_at_a_time(create_backend_app("s3"))

    class Handler(MotoRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections, as S3 does

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_bucket(endpoint: str, bucket: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=30)
    connection.request("PUT", f"/{bucket}", headers={"authorization": SIGNED})
    assert connection.getresponse().status == 200
    connection.close()
