"""Stores as JSON, seen by Sheaf and by the independent reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from sheaf.model.entries import (
    ChunkPlace,
    ExternalPlace,
    Kind,
    ManifestEntry,
    ObjectPlace,
    Place,
    PlaceKind,
    RecipePlace,
)
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store

ROOT = Path(__file__).parents[2]
PLACES: dict[type[Place], PlaceKind] = {
    ChunkPlace: PlaceKind.CHUNK,
    RecipePlace: PlaceKind.RECIPE,
    ObjectPlace: PlaceKind.OBJECT,
}
KINDS = {Kind.FILE: "file", Kind.SYMLINK: "symlink", Kind.FOLDER: "folder", Kind.EXTERNAL: "external"}


def golden_stores(pattern: str) -> list[Path]:
    """The golden folders whose names fit, oldest first."""
    return sorted((Path(__file__).parent / "golden").glob(pattern))


def expected(golden: Path) -> dict[str, Any]:
    """What a golden store was found to hold when it was made."""
    found: dict[str, Any] = json.loads((golden / "expected.json").read_text())
    return found


def independent(*arguments: object) -> str:
    """What the independent reader prints, in a process where Sheaf can't be imported."""
    blocked = "import runpy, sys; sys.modules['sheaf'] = None; del sys.argv[0]; "
    run = "runpy.run_module('tests.compat.independent_reader', run_name='__main__')"
    command = [sys.executable, "-c", blocked + run, "independent_reader", *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def independently(store: Path) -> dict[str, Any]:
    """All that is in a store, by the independent reader."""
    found: dict[str, Any] = json.loads(independent(store))
    return found


def alive(everything: dict[str, Any]) -> dict[str, Any]:
    """Without what was deleted: what Sheaf shows."""
    return {id: repo for id, repo in everything["repos"].items() if not repo["deleted"]}


def described(store: Store) -> dict[str, Any]:
    """The repos of a store as Sheaf shows them, in the independent reader's words."""
    found = {}
    for info in store.repos():
        repo = store.repo(info.name)
        found[repo.id] = {
            "name": repo.name,
            "deleted": False,
            "labels": {label.name: label.bundle for label in repo.labels()},
            "branches": {branch.name: branch.bundle for branch in repo.branches()},
            "bundles": {bundle.id: _bundle(repo, bundle) for bundle in repo.bundles()},
        }
    return found


def _bundle(repo: Repo, bundle: Bundle) -> dict[str, Any]:
    entries = {entry.path: _entry(entry) for entry in bundle.tree.entries()}
    descriptor: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(repo.bundle(f"bundle:{bundle.id}")._descriptor)
    )
    return {key: value for key, value in descriptor.items() if key != "root"} | {"entries": entries}


def _entry(entry: ManifestEntry) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": KINDS[entry.kind], "mode": entry.mode, "mtime": entry.mtime, "size": entry.size}
    if entry.attrs:
        found["attrs"] = dict(entry.attrs)
    if entry.kind == Kind.SYMLINK:
        found["target"] = entry.target
    if isinstance(entry.place, ExternalPlace):
        found |= {"url": entry.place.url, "etag": entry.place.etag}
    place = 0 if entry.place is None else int(PLACES.get(type(entry.place), PlaceKind.EXTERNAL))
    return found | {"content": entry.content.hex(), "place": place}
