"""Every manifest and every sample passes the strict schemas of the oldest and the newest version that it is for."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Sequence

import pytest
from tests.docs.pages import ROOT
from tests.pods.documents import Document, all_documents, pod_specs

PYTHON = ROOT / ".tools/manifests/bin/python"
OLDEST, FIRST_NATIVE, NEWEST = "1.25", "1.29", "1.37"

pytestmark = [
    pytest.mark.parts,
    pytest.mark.skipif(not PYTHON.exists(), reason="the schemas of Kubernetes are not installed: make test-parts"),
]


def faults(wanted: Sequence[tuple[str, Document]]) -> list[str | None]:
    """What is wrong with each document in a version of Kubernetes."""
    program = ROOT / "tests/pods/strict_schemas.py"
    done = subprocess.run(
        [PYTHON, program], input=json.dumps(wanted), capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    found: list[str | None] = json.loads(done.stdout)
    return found


def _is_native(document: Document) -> bool:
    return any("restartPolicy" in each for spec in pod_specs(document) for each in spec.get("initContainers", []))


def _with_pods(origin: str, document: Document) -> list[tuple[str, Document]]:
    """The document, and the pods of a workflow: Argo's schema does not check all of them."""
    if document["kind"] != "Workflow":
        return [(origin, document)]
    head = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "step"}}
    return [(origin, document), *((f"{origin}, pod", {**head, "spec": spec}) for spec in pod_specs(document))]


def test_every_document_passes() -> None:
    found = [each for origin, document in all_documents() for each in _with_pods(origin, document)]
    assert len(found) > 20
    cases = [
        (origin, version, document)
        for origin, document in found
        for version in (FIRST_NATIVE if _is_native(document) else OLDEST, NEWEST)
    ]
    wrong = faults([(version, document) for _, version, document in cases])
    assert not [(*case[:2], fault) for case, fault in zip(cases, wrong, strict=True) if fault]


@pytest.mark.parametrize("kind", ["Pod", "Job", "CronJob", "Workflow"])
def test_a_wrong_field_is_found(kind: str) -> None:
    document = copy.deepcopy(next(document for _, document in all_documents() if document["kind"] == kind))
    spec = document["spec"]["templates"][1] if kind == "Workflow" else next(pod_specs(document))
    spec["initContainer"] = []
    assert faults([(NEWEST, document)]) != [None]


def test_an_old_cluster_does_not_know_native_sidecars() -> None:
    native = next(document for _, document in all_documents() if _is_native(document))
    (fault,) = faults([(OLDEST, native)])
    assert fault and "restartPolicy" in fault
