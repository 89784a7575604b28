"""A small HTTP proxy that tests put before a real server, to look at requests, change them or answer in its place."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]  #: names in lower case
    body: bytes


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Dropped(Exception):
    """Close the connection without an answer."""


Forward = Callable[[Request], Response]
#: Gets each request and a way to the server behind; gives the answer. May raise ``Dropped``.
Hook = Callable[[Request, Forward], Response]


@contextmanager
def proxy(upstream: str, hook: Hook, certificate: Path | None = None) -> Iterator[str]:
    """The URL of a proxy before ``upstream``, as long as the context lasts; over TLS if there is a ``certificate``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            try:
                answer = hook(request, lambda changed: _forward(upstream, changed))
            except Dropped:
                self.close_connection = True
                return
            self._answer(answer)

        def _answer(self, answer: Response) -> None:
            try:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if not (self.command == "HEAD" and "content-length" in answer.headers):
                    self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)
            except ConnectionError:
                self.close_connection = True  # the client gave up, as some tests want it to

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any

    with serving(Handler, certificate) as url:
        yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], certificate: Path | None = None) -> Iterator[str]:
    """The URL of a server on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    scheme = "http" if certificate is None else "https"
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _forward(upstream: str, request: Request) -> Response:
    connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=60)
    try:
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        connection.request(request.method, request.path, request.body, headers)
        answer = connection.getresponse()
        body = answer.read()
        kept = {name.lower(): value for name, value in answer.getheaders()}
        length = (
            {"content-length": kept["content-length"]} if request.method == "HEAD" and "content-length" in kept else {}
        )
        return Response(answer.status, {n: v for n, v in kept.items() if n not in _HOP} | length, body)
    finally:
        connection.close()


def with_headers(request: Request, headers: dict[str, str]) -> Request:
    return replace(request, headers=headers)
