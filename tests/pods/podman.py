"""Podman with storage of its own, and pods that it plays from manifests as a kubelet would run them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from tests.pods.documents import Document

__all__ = ["PATIENCE_S", "PlayedPod", "Podman", "missing", "podman_in"]

PATIENCE_S = 120

_CONTAINERS = """
[containers]
netns = "host"
log_driver = "k8s-file"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
infra_image = "localhost/infra:1"
"""
_STORAGE = """
[storage]
driver = "overlay"
graphroot = "{home}/graph"
runroot = "{home}/run"
"""
_REGISTRIES = 'unqualified-search-registries = ["localhost"]\nshort-name-mode = "disabled"\n'
_POLICY = {"default": [{"type": "insecureAcceptAnything"}]}


def missing() -> str:
    """Why no pod can run here; "" if one can."""
    if lacking := [name for name in ("podman", "runc", "catatonit") if not _find(name)]:
        return f"{lacking[0]} is not installed"
    if os.geteuid():
        return "root may run privileged pods, but this process may not"
    return "" if Path("/dev/fuse").exists() else "no /dev/fuse"


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin:/usr/libexec/podman")


@dataclass(frozen=True)
class Podman:
    """Runs podman's commands."""

    home: Path

    def run(self, *args: object, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "CONTAINERS_CONF": str(self.home / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.home / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(self.home / "registries.conf"),
        }
        done = subprocess.run(
            ["podman", "--tmpdir", str(self.home / "libpod"), *map(str, args)],
            env=variables,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S * 2,
            cwd="/",
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    @contextmanager
    def play(self, documents: Iterable[Document]) -> Iterator[PlayedPod]:
        """Start the only pod of the documents. It is removed at the end."""
        documents = list(documents)
        for secret in (each for each in documents if each["kind"] == "Secret"):
            self._keep(secret)
        documents = [each for each in documents if each["kind"] != "Secret"]
        (pod,) = (each for each in documents if each["kind"] == "Pod")
        text = yaml.safe_dump_all(documents)
        name = pod["metadata"]["name"]
        try:
            started = self.run("kube", "play", "--network", "host", "-", stdin=text)
            assert "Error" not in started.stderr, started.stderr
            yield PlayedPod(self, name)
        finally:
            self.run("pod", "rm", "--force", "--time", "0", name, check=False)
            self.run("volume", "prune", "--force", check=False)  # maps of configuration

    def _keep(self, secret: Document) -> None:
        """Keep a secret, which this version of podman does not read from manifests."""
        name = secret["metadata"]["name"]
        self.run("secret", "rm", name, check=False)
        self.run("secret", "create", name, "-", stdin=json.dumps(secret["data"]))


@dataclass(frozen=True)
class PlayedPod:
    """A pod that was started."""

    podman: Podman
    name: str

    def _container(self, name: str) -> str:
        return f"{self.name}-{name}"

    def end(self, container: str) -> int:
        """The exit code of a container, when it has ended."""
        self.podman.run("wait", "--interval", "200ms", self._container(container))
        state = self.state(container)
        assert state["Status"] == "exited", f"{state}\n{self.logs()}"
        return int(str(state["ExitCode"]))

    def state(self, container: str) -> Mapping[str, object]:
        found = json.loads(self.podman.run("inspect", "--type", "container", self._container(container)).stdout)
        state: Mapping[str, object] = found[0]["State"]
        return state

    def log(self, container: str) -> str:
        done = self.podman.run("logs", self._container(container), check=False)
        return done.stdout + done.stderr

    def await_log(self, container: str, text: str) -> None:
        """Wait until a container has said something."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in (said := self.log(container)):
            is_over = self.state(container)["Status"] != "running" or time.monotonic() > deadline
            assert not is_over, f"{container} has not said '{text}': {said}"
            time.sleep(0.3)

    def stop(self, container: str, seconds: int = 60) -> None:
        """SIGTERM, and SIGKILL after a time."""
        self.podman.run("stop", "--time", seconds, self._container(container))

    def kill(self, container: str) -> None:
        """SIGKILL, as for a container that runs out of memory."""
        self.podman.run("kill", "--signal", "KILL", self._container(container))

    def start(self, container: str) -> None:
        """Start an ended container again, as a kubelet does with a native sidecar."""
        self.podman.run("start", self._container(container))

    def logs(self) -> str:
        """What all containers have said, for messages."""
        listed = self.podman.run("ps", "--all", "--filter", f"pod={self.name}", "--format", "{{.Names}}").stdout
        names = [name.removeprefix(f"{self.name}-") for name in listed.split()]
        return "\n".join(f"--- {name}\n{self.log(name)}" for name in names)


@contextmanager
def podman_in(home: Path) -> Iterator[Podman]:
    """Podman with all its state in a folder, which is mounted so that mounts propagate from it, as on a node."""
    home.mkdir(parents=True, exist_ok=True)
    _mount("--bind", home, home)
    _mount("--make-shared", home)
    for folder in ("tmp", ".config/containers"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "containers.conf").write_text(_CONTAINERS)
    (home / "storage.conf").write_text(_STORAGE.format(home=home))
    (home / "registries.conf").write_text(_REGISTRIES)
    (home / ".config/containers/policy.json").write_text(json.dumps(_POLICY))
    podman = Podman(home)
    try:
        _make_infra_image(podman)
        yield podman
    finally:
        podman.run("pod", "rm", "--all", "--force", "--time", "0", check=False)
        _unmount_all(home)
        shutil.rmtree(home, ignore_errors=True)


def _mount(*args: object) -> None:
    subprocess.run(["mount", *map(str, args)], check=True)


def _unmount_all(home: Path) -> None:
    """Also what podman leaves mounted, the deepest first."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in sorted((each for each in points if Path(each).is_relative_to(home)), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False)


def _make_infra_image(podman: Podman) -> None:
    """The program that holds a pod's name spaces: podman would fetch an image with it."""
    program = _find("catatonit")
    assert program is not None
    context = podman.home / "infra"
    context.mkdir(exist_ok=True)
    shutil.copyfile(program, context / "catatonit")
    (context / "catatonit").chmod(0o755)
    (context / "Dockerfile").write_text('FROM scratch\nCOPY catatonit /catatonit\nENTRYPOINT ["/catatonit", "-P"]\n')
    podman.run("build", "--tag", "localhost/infra:1", context)
