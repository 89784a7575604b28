"""A server that has loaded the command line and forks for each command: documentation has hundreds of them.

``python -m tests.docs.forkserver SOCKET`` serves. The program that ``write_client`` makes hands its arguments, folder,
variables, umask and standard streams to a fork, and ends as that does. The fork runs the same entry point as the
installed ``sheaf``; what a command loads and how long that takes is tested in ``tests/cli``.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import NoReturn

#: The program that takes the place of ``sheaf``. Isolated and without site-packages it starts in 20 ms.
CLIENT = """#!{python} -IS
import json, os, signal, socket, struct, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
umask = os.umask(0)
os.umask(umask)
words = [os.fsencode(word).hex() for word in sys.argv[1:]]
variables = [[name.hex(), value.hex()] for name, value in os.environb.items()]
asked = json.dumps([words, os.getcwdb().hex(), variables, umask]).encode()
socket.send_fds(server, [struct.pack("<I", len(asked))], [0, 1, 2])
server.sendall(asked)
pid = int.from_bytes(server.recv(4, socket.MSG_WAITALL), "little")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
code = int.from_bytes(server.recv(4, socket.MSG_WAITALL), "little", signed=True)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""

_LOADED = ("pyarrow.compute", "sheaf.cli.run", "sheaf.cli.verbs", "sheaf.repo.store", "sheaf.repo.repo")


def write_client(program: Path) -> None:
    """Make ``program`` an executable that stands for ``sheaf``."""
    program.write_text(CLIENT.format(python=sys.executable, address=str(fork_server())))
    program.chmod(0o755)


@cache
def fork_server() -> Path:
    """Start the server of this process; its socket. The folder is a short one: addresses of sockets have 100 letters."""
    root = str(Path(__file__).parents[2])
    folder = tempfile.TemporaryDirectory()
    address = Path(folder.name) / "socket"
    variables = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONPATH": f"{root}/src:{root}"}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(address)],
        cwd=root,
        env={**variables, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    atexit.register(_stop, process, folder)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    return address


def _stop(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    process.terminate()
    process.communicate()
    folder.cleanup()


def _serve(address: str) -> NoReturn:
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for module in _LOADED:
        __import__(module)
    assert threading.active_count() == 1, "a fork has only one of the threads"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for commands
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if not os.fork():
            listener.close()
            _answer(connection)
        connection.close()


def _answer(connection: socket.socket) -> NoReturn:
    """Fork a command, and say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    words, folder, variables, umask = json.loads(connection.recv(int.from_bytes(size, "little"), socket.MSG_WAITALL))
    pid = os.fork()
    if not pid:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        _run(words, folder, variables, umask)
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    connection.sendall(pid.to_bytes(4, "little"))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    connection.sendall(code.to_bytes(4, "little", signed=True))
    os._exit(0)


def _run(words: list[str], folder: str, variables: list[list[str]], umask: int) -> NoReturn:
    os.chdir(bytes.fromhex(folder))
    os.umask(umask)
    os.environb.clear()
    for name, value in variables:
        os.environb[bytes.fromhex(name)] = bytes.fromhex(value)
    sys.argv = ["sheaf", *(os.fsdecode(bytes.fromhex(word)) for word in words)]
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        setattr(sys, name, open(number, mode, buffering=1 if number == 2 else -1, closefd=False))  # noqa: SIM115
    from sheaf.cli.main import main

    code = 1
    try:
        main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for output in (sys.stdout, sys.stderr):
            if output is not None and not output.closed:
                output.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
