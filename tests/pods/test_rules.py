"""What the manifests in deploy/ promise beyond their schema: limits, rights, secrets, images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import ROOT
from tests.pods.documents import MANIFESTS, Document, load, pod_specs

import sheaf

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
SECRET = re.compile(r"KEY|SECRET|TOKEN|PASS", re.IGNORECASE)


def specs() -> list[tuple[Path, Document]]:
    return [(path, spec) for path in MANIFESTS for document in load(path) for spec in pod_specs(document)]


def containers(spec: Document) -> list[Document]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def faults(spec: Document) -> Iterator[str]:
    """What a specification does that no manifest of ours may do."""
    pod = spec.get("securityContext", {})
    if spec.get("automountServiceAccountToken") is not False:
        yield "the pod gets a token of the cluster that it does not use"
    if spec.get("restartPolicy") != "Never":
        yield "the pod would start again in a used coordination folder"
    for each in containers(spec):
        rights = {**pod, **each.get("securityContext", {})}
        resources = each.get("resources", {})
        if "memory" not in resources.get("limits", {}) or {"cpu", "memory"} - resources.get("requests", {}).keys():
            yield f"{each['name']}: no limit or request"
        if not rights.get("readOnlyRootFilesystem"):
            yield f"{each['name']}: the root file system is writable"
        yield from (f"{each['name']}: {fault}" for fault in _faults_of_rights(each, rights))
        yield from (
            f"{each['name']}: secret {variable['name']} is in the manifest"
            for variable in each.get("env", [])
            if SECRET.search(variable["name"]) and "value" in variable
        )


def _faults_of_rights(container: Document, rights: Document) -> Iterator[str]:
    makes_mounts = any(each.get("mountPropagation") == "Bidirectional" for each in container.get("volumeMounts", []))
    if bool(rights.get("privileged")) != makes_mounts:
        yield "privileged is for containers that mount, and they need it"
    if rights.get("privileged"):
        return
    if rights.get("runAsNonRoot") is not True:
        yield "it may be root"
    if rights.get("allowPrivilegeEscalation") is not False or rights.get("capabilities") != {"drop": ["ALL"]}:
        yield "it keeps rights of root"
    if rights.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "it may use every system call"


def test_the_manifests_keep_the_rules() -> None:
    assert len(specs()) >= 8
    assert not [(path.name, fault) for path, spec in specs() for fault in faults(spec)]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"resources": {}}, "no limit or request"),
        ({"securityContext": {}}, "the root file system is writable"),
        ({"securityContext": {"privileged": True, "readOnlyRootFilesystem": True}}, "privileged is for containers"),
        ({"env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}]}, "is in the manifest"),
        (
            {"volumeMounts": [{"name": "s", "mountPath": "/s", "mountPropagation": "Bidirectional"}]},
            "privileged is for",
        ),
    ],
)
def test_a_broken_rule_is_found(change: Document, fault: str) -> None:
    (spec,) = (spec for path, spec in specs() if path.name == "job.yaml")
    spec["containers"][0] |= change
    assert any(fault in found for found in faults(spec))


def test_the_images_are_those_that_are_built() -> None:
    built = {
        f"{name}:{sheaf.__version__}" for name in re.findall(r"^FROM \S+ AS (sheaf\S*)$", DOCKERFILE, re.MULTILINE)
    }
    used = {each["image"] for _, spec in specs() for each in containers(spec)}
    assert used == {*built, "your-program:1.0"}


def test_the_base_is_pinned_and_no_registry_is_named() -> None:
    (base,) = re.findall(r"^ARG DEBIAN=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"debian:[\w-]+@sha256:[0-9a-f]{64}", base)
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    known = {"${DEBIAN}", *(name for _, name in stages)}
    assert {origin for origin, _ in stages} <= known
    assert re.findall(r"--requirement", DOCKERFILE) and not re.search(r"https?://", DOCKERFILE)


def test_sidecars_that_stay_are_native() -> None:
    for path, spec in specs():
        for each in containers(spec):
            words = [*each.get("command", []), *each.get("args", [])]
            if words[:2] == ["sheaf", "sidecar"] and words[2] in ("fuse", "postgres"):
                assert ("-s" in words) == (each.get("restartPolicy") == "Always"), path.name
