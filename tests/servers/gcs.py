"""GCS's XML interface as a translation over an S3 server: the two differ in the names of headers."""

from __future__ import annotations

from dataclasses import replace

from tests.servers.moto import SIGNED
from tests.servers.proxy import Forward, Request, Response


def translate(request: Request, forward: Forward) -> Response:
    """A hook that speaks ``x-goog-*`` to the client and ``x-amz-*`` to the server."""
    headers = {
        name.replace("x-goog-", "x-amz-"): value
        for name, value in request.headers.items()
        if name != "x-goog-if-generation-match"
    }
    headers["authorization"] = SIGNED
    if request.headers.get("x-goog-if-generation-match") == "0":
        headers["if-none-match"] = "*"
    path = request.path.replace("%2D", "-")  # the client escapes it in the bucket's name, where moto leaves it so
    answer = forward(replace(request, path=path, headers=headers))
    kept = {name.replace("x-amz-", "x-goog-"): value for name, value in answer.headers.items()}
    return replace(answer, headers={**kept, "x-goog-generation": "1"})
