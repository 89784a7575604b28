"""The pods of deploy/ run: podman plays them, with the images of deploy/Dockerfile and a store in a bucket."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.docs.pages import ROOT
from tests.pods.documents import Document
from tests.pods.podman import PlayedPod, Podman
from tests.pods.rendering import configuration, render, with_text
from tests.servers.ports import free_port

import sheaf

pytestmark = pytest.mark.parts

MANIFESTS = ROOT / "deploy/manifests"
DATAMON = ROOT / "tests/pods/datamon"
Play = Callable[..., AbstractContextManager[PlayedPod]]


@pytest.fixture
def play(podman: Podman, store: sheaf.Store, store_url: str, fresh: str) -> Play:
    """Play a manifest; ``change`` is applied to its documents."""

    def start(
        path: Path, change: Callable[[list[Document]], list[Document]] = lambda documents: documents
    ) -> AbstractContextManager[PlayedPod]:
        name = f"{path.stem}-{fresh}"
        documents = render(path, name=name, volumes=podman.home / "volumes" / name)
        return podman.play([*configuration(store_url), *change(documents)])

    return start


def test_a_plain_sidecar_mounts_and_saves(play: Play, store: sheaf.Store) -> None:
    with play(MANIFESTS / "fuse-pod.yaml") as pod:
        assert pod.end("application") == 0, pod.logs()
        assert pod.end("sidecar") == 0, pod.logs()
        assert "files: ['labels.csv']" in pod.log("application")
    saved = store.repo("results").bundle("label:nightly")
    assert (saved.read("model"), saved.message) == (b"trained on labels", "nightly run")


def test_a_native_sidecar_is_there_before_and_after_the_program(play: Play, store: sheaf.Store) -> None:
    with play(MANIFESTS / "fuse-pod-native.yaml") as pod:
        assert pod.end("application") == 0, pod.logs()
        assert store.repo("results").bundle("label:nightly").read("model") == b"trained on labels"
        assert pod.state("sidecar")["Running"] is True  # else the kubelet would start it again, in a used folder
        pod.stop("sidecar")  # as the kubelet does after the last container
        assert pod.end("sidecar") == 0, pod.logs()


def _in_mode(mode: str) -> Callable[[list[Document]], list[Document]]:
    """The program fails, or stays, after it has written its results."""

    def change(documents: list[Document]) -> list[Document]:
        (pod,) = (each for each in documents if each["kind"] == "Pod")
        (first,) = (each for each in pod["spec"]["initContainers"] if each["name"] == "scripts")
        words = " ".join(first["command"])
        first["command"] = ["sh", "-euc", f"{words}; echo {mode} >/shared/mode"]
        return documents

    return change


def test_a_failed_program_ends_the_sidecar(play: Play, store: sheaf.Store) -> None:
    with play(MANIFESTS / "fuse-pod.yaml", _in_mode("fail")) as pod:
        assert pod.end("application") == 3, pod.logs()
        assert "application exited with non-zero-status" in pod.log("application")
        assert pod.end("sidecar") == 5, pod.logs()
        assert "exited with code 3" in pod.log("sidecar")
    repo = store.repo("results")
    assert not repo.labels()
    assert repo.bundle("branch:unfinished").read("model") == b"trained on labels"


def test_a_killed_sidecar_ends_the_program(play: Play, store: sheaf.Store) -> None:
    def change(documents: list[Document]) -> list[Document]:
        (pod,) = (each for each in _in_mode("stay")(documents) if each["kind"] == "Pod")
        (application,) = (each for each in pod["spec"]["containers"] if each["name"] == "application")
        application["command"][1:1] = ["-l", "8"]
        return documents

    with play(MANIFESTS / "fuse-pod.yaml", change) as pod:
        pod.await_log("application", "the program stays")
        pod.kill("sidecar")
        assert pod.end("application") == 125, pod.logs()
        assert "no sign of life of the fuse sidecar" in pod.log("application")
    assert not store.repo("results").labels()


def test_a_sidecar_without_its_data_ends_the_program(play: Play, store: sheaf.Store) -> None:
    store.repo("faces").delete_label("init")
    with play(MANIFESTS / "fuse-pod.yaml") as pod:
        assert pod.end("application") == 125, pod.logs()
        assert "didn't find label" in pod.log("application")
        assert pod.end("sidecar") == 8, pod.logs()


def test_a_deleted_pod_saves_what_is_there(play: Play, store: sheaf.Store, podman: Podman) -> None:
    with play(MANIFESTS / "fuse-pod.yaml", _in_mode("stay")) as pod:
        pod.await_log("application", "the program stays")
        podman.run("pod", "stop", "--time", "60", pod.name)  # SIGTERM for all containers
        assert pod.end("application") == 143, pod.logs()
        assert "saved: " in pod.log("sidecar"), pod.logs()
    repo = store.repo("results")
    assert not repo.labels()
    assert repo.bundle("branch:unfinished").read("model") == b"trained on labels"


def test_a_native_sidecar_that_was_killed_is_started_again_and_ends_the_program(play: Play, store: sheaf.Store) -> None:
    with play(MANIFESTS / "fuse-pod-native.yaml", _in_mode("stay")) as pod:
        pod.await_log("application", "the program stays")
        pod.kill("sidecar")
        pod.start("sidecar")
        assert pod.end("application") == 125, pod.logs()
        assert "from an earlier run" in pod.log("application")
    assert not store.repo("results").labels()


def test_a_native_sidecar_saves_after_its_program_was_terminated(play: Play, store: sheaf.Store) -> None:
    with play(MANIFESTS / "fuse-pod-native.yaml", _in_mode("stay")) as pod:
        pod.await_log("application", "the program stays")
        pod.stop("application")  # as the kubelet does first when the pod is deleted
        assert pod.end("application") == 143, pod.logs()
        pod.stop("sidecar")
        assert "saved: " in pod.log("sidecar"), pod.logs()
    assert store.repo("results").bundle("branch:unfinished").read("model") == b"trained on labels"


def test_a_job_without_privileges_waits_for_its_data(play: Play, store: sheaf.Store) -> None:
    with play(MANIFESTS / "job.yaml") as pod:
        assert pod.end("application") == 0, pod.logs()
        assert pod.end("sidecar") == 0, pod.logs()
    assert store.repo("results").bundle("label:model").read("model") == b"trained on labels"


def _at_free_ports(documents: list[Document]) -> list[Document]:
    """Pods of the tests share the ports of the machine. The program gets to know them."""
    ports = {name: str(free_port()) for name in ("5432", "5433")}
    for before, port in ports.items():
        documents = with_text(documents, before, port)
    (pod,) = (each for each in documents if each["kind"] == "Pod")
    (application,) = (each for each in pod["spec"]["containers"] if each["name"] == "application")
    names = ("SCORES_PORT", "USERS_PORT")
    application["env"] = [{"name": name, "value": port} for name, port in zip(names, ports.values(), strict=True)]
    return documents


@pytest.mark.parametrize(
    ("manifest", "sidecars"), [("postgres-pod", ["scores", "users"]), ("postgres-pod-several", ["sidecar"])]
)
def test_databases_come_and_go(
    play: Play, store: sheaf.Store, users_database: Path, manifest: str, sidecars: list[str]
) -> None:
    repo = store.repo("databases")
    repo.upload(users_database, message="users of yesterday", label="users")
    before = repo.bundle("label:users").id
    with play(MANIFESTS / f"{manifest}.yaml", _at_free_ports) as pod:
        assert pod.end("application") == 0, pod.logs()
        assert [pod.end(sidecar) for sidecar in sidecars] == [0] * len(sidecars), pod.logs()
        assert pod.log("application").splitlines()[:2] == ["42", "new"]
    assert repo.bundle("label:scores").message == "nightly scores"
    assert repo.bundle("label:users").id != before


def test_a_pod_of_datamon_s_second_guide_runs(play: Play, store: sheaf.Store, tmp_path: Path) -> None:
    store.create_repo("inputs").upload(tmp_path, message="m", label="testlabel")
    outputs = store.create_repo("outputs")
    with play(DATAMON / "fuse-second-generation.yaml") as pod:
        assert pod.end("application") == 0, pod.logs()
        assert pod.end("datamon-sidecar") == 0, pod.logs()
    saved = outputs.bundle("label:demo")
    assert (saved.read("model"), saved.message) == (b"trained on labels", "results of the pod")


def _share(documents: list[Document]) -> Path:
    """The folder behind the claim of a pod, with an old and a new file that the pod's user owns."""
    (share,) = (each for each in documents[-1]["spec"]["volumes"] if each["name"] == "share")
    folder = Path(share["hostPath"]["path"])
    jobs = folder / "output/jobs"
    jobs.mkdir(parents=True)
    for name, text in (("old.csv", "1"), ("new.csv", "2")):
        (jobs / name).write_text(text)
    os.utime(jobs / "old.csv", (0, 1_600_000_000))
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 10001, 10001)
    return folder


@pytest.mark.parametrize(
    ("manifest", "found"),
    [("backup", "datamover-backup-wd/unlinkable.log"), ("datamover", "lists/*/removable.list")],
)
def test_a_share_is_saved_and_its_old_files_are_listed(
    play: Play, store: sheaf.Store, manifest: str, found: str
) -> None:
    repo = store.create_repo("backup-filestore-output")
    shares: list[Path] = []

    def change(documents: list[Document]) -> list[Document]:
        shares.append(_share(documents))
        return documents

    with play(MANIFESTS / f"{manifest}-cronjob.yaml", change) as pod:
        assert pod.end(manifest) == 0, pod.logs()
        (share,) = shares
        (listed,) = share.glob(found)
        assert [Path(line).name for line in listed.read_text().split()] == ["old.csv"], pod.logs()
        assert (share / "output/jobs/old.csv").exists()
    assert len(repo.labels()) == 1
