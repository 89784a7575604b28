"""Every Kubernetes document of the project: of deploy/, of the documentation, and of users who come from Datamon."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.docs.pages import ROOT, pages

__all__ = ["DATAMON", "MANIFESTS", "Document", "all_documents", "load", "pod_specs"]

Document = dict[str, Any]

MANIFESTS = sorted((ROOT / "deploy/manifests").glob("*.yaml"))
DATAMON = sorted((Path(__file__).parent / "datamon").glob("*.yaml"))

_YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def load(path: Path) -> list[Document]:
    """The documents of a file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def all_documents() -> Iterator[tuple[str, Document]]:
    """All documents, each with its origin."""
    for path in (*MANIFESTS, *DATAMON):
        yield from ((f"{path.name}: {document['kind']}", document) for document in load(path))
    for page in pages():
        for number, text in enumerate(_YAML.findall(page.read_text(encoding="utf-8")), 1):
            document = yaml.safe_load(text)
            if not _is_parameters(document):
                yield f"{page.name}, YAML {number}", document if "kind" in document else _pod_of(document)


def _is_parameters(document: Document) -> bool:
    """Whether it is what a sidecar reads; tests/sidecar runs these."""
    return "globalOpts" in document


def _pod_of(fragment: Document) -> Document:
    """A fragment of the specification of a pod, such as one list of containers, with what else a pod must have."""
    spec = {"containers": [{"name": "application", "image": "your-program:1.0"}], **fragment}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fragment"}, "spec": spec}


def pod_specs(document: Document) -> Iterator[Document]:
    """The specifications of all pods that a document makes."""
    spec = document.get("spec", {})
    match document["kind"]:
        case "Pod":
            yield spec
        case "Job" | "Deployment":
            yield spec["template"]["spec"]
        case "CronJob":
            yield spec["jobTemplate"]["spec"]["template"]["spec"]
        case "Workflow":
            yield from (_pod_of_template(spec, each) for each in spec["templates"] if "container" in each)


def _pod_of_template(workflow: Document, template: Document) -> Document:
    """The pod that Argo makes of a template, as far as Kubernetes' own schema knows it."""
    shared: Document = {name: workflow[name] for name in ("automountServiceAccountToken",) if name in workflow}
    own: Document = {
        name: template[name] for name in ("volumes", "securityContext", "initContainers") if name in template
    }
    main = {"name": "main", **template["container"]}
    return {**shared, **own, "restartPolicy": "Never", "containers": [main, *template.get("sidecars", [])]}
