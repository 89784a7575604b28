"""Check documents against strict schemas: of Kubernetes by kubernetes-validate, of Argo by the models of hera.

A program for the environment in .tools/manifests. It reads JSON, a list of ``[version of Kubernetes, document]``, and
prints a list with what is wrong with each; null if nothing is.
"""

from __future__ import annotations

import functools
import json
import sys
from typing import Any

import kubernetes_validate
from hera.shared import _pydantic
from kubernetes_validate import utils

_pydantic.APIBaseModel.model_config["extra"] = "forbid"  # before the models are made: fields that Argo does not know
from hera.workflows import models  # noqa: E402

# Otherwise a megabyte of JSON is read for each document.
utils.schema_contents = functools.cache(utils.schema_contents)


def fault(version: str, document: dict[str, Any]) -> str | None:
    """Return what is wrong with a document, None if nothing is."""
    if document.get("apiVersion") == "argoproj.io/v1alpha1":
        return _fault_of_argo(document)
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        return str(error.message)
    return None


def _fault_of_argo(document: dict[str, Any]) -> str | None:
    model = getattr(models, document["kind"])
    try:
        model.model_validate(document)
    except ValueError as error:
        return str(error)
    return None


if __name__ == "__main__":
    json.dump([fault(version, document) for version, document in json.load(sys.stdin)], sys.stdout)
