"""Manifests as podman can play them: pods only, with a store of the tests behind the names that the manifests use."""

from __future__ import annotations

import base64
import copy
from pathlib import Path

from tests.docs.pages import ROOT
from tests.pods.documents import Document, load, pod_specs

__all__ = ["configuration", "render", "with_text"]


def configuration(store: str) -> list[Document]:
    """What the manifests read, as deploy/manifests/configuration.yaml says: a store in the map, keys in the secret."""
    documents = load(ROOT / "deploy/manifests/configuration.yaml")
    values = {"SHEAF_STORE": store, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    for document in documents:
        if document["kind"] == "ConfigMap":
            document["data"] = {name: values[name] for name in document["data"]}
        else:  # podman reads no stringData
            given = document.pop("stringData")
            document["data"] = {name: base64.b64encode(values[name].encode()).decode() for name in given}
    return documents


def render(path: Path, *, name: str, volumes: Path) -> list[Document]:
    """The documents of a manifest: what makes a pod becomes that pod, and native sidecars become ordinary containers.

    podman starts containers in their order, so sidecars are first. What the kubelet does at the end, a test has to do.
    ``volumes``: a folder for those that are empty at first, and for claims.
    """
    return [_rendered(document, name, volumes) for document in load(path)]


def _rendered(document: Document, name: str, volumes: Path) -> Document:
    if document["kind"] == "ConfigMap":
        return document
    (spec,) = (copy.deepcopy(each) for each in pod_specs(document))
    first = spec.get("initContainers", [])
    native = [each for each in first if each.pop("restartPolicy", None) == "Always"]
    spec["initContainers"] = [each for each in first if each not in native]
    spec["containers"] = [*native, *spec["containers"]]
    spec["restartPolicy"] = "Never"
    for each in spec["volumes"]:
        if each.pop("emptyDir", each.pop("persistentVolumeClaim", None)) is not None:
            each["hostPath"] = {"path": str(_empty_folder(volumes / each["name"]))}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _empty_folder(path: Path) -> Path:
    """A folder that every user may write to, as the kubelet makes it; that of podman belongs to one user."""
    path.mkdir(parents=True)
    path.chmod(0o777)
    return path


def with_text(documents: list[Document], old: str, new: str) -> list[Document]:
    """The same with another text in all values."""

    def changed(value: object) -> object:
        match value:
            case str():
                return value.replace(old, new)
            case list():
                return [changed(each) for each in value]
            case dict():
                return {key: changed(each) for key, each in value.items()}
        return value

    found = [changed(document) for document in documents]
    return [each for each in found if isinstance(each, dict)]
