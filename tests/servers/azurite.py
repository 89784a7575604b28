"""Azurite, the emulator of Azure's blob storage (an npm package that ``make`` installs below ``.tools``)."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import http.client
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.ports import free_port, wait_for

PROGRAM = Path(__file__).parents[2] / ".tools/azurite/node_modules/azurite/dist/src/blob/main.js"
ACCOUNT = "sheaftest"
KEY = base64.b64encode(b"only for tests on this machine!!").decode()


def missing() -> str:
    """Why Azurite can't run here; "" if it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    return "" if PROGRAM.exists() else "azurite is not installed: make test-parts"


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """The account's URL on a free port of this machine."""
    port = free_port()
    command = ["node", str(PROGRAM), f"--blobPort={port}", "--inMemoryPersistence", "--skipApiVersionCheck", "--silent"]
    process = subprocess.Popen(
        [*command, "--disableTelemetry"],
        cwd=folder,
        env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}/{ACCOUNT}"
    finally:
        process.terminate()
        process.wait(30)


def make_container(endpoint: str, name: str) -> None:
    host = endpoint.split("/")[2]
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    canonical = "".join(f"{header}:{headers[header]}\n" for header in sorted(headers))
    resource = f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    text = "PUT" + "\n" * 12 + canonical + resource
    signature = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    headers["authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("PUT", f"/{ACCOUNT}/{name}?restype=container", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    connection.close()
