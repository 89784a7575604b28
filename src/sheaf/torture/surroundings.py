"""Checks of the properties of a folder or a bucket."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sheaf.storage.folder.network_mounts import filesystem_type, is_network
from sheaf.storage.folder.syscalls import Syscalls
from sheaf.torture.promises import PromiseFinding
from sheaf.torture.rules import check_bucket_rules
from sheaf.torture.scratch_location import ScratchLocation
from sheaf.torture.whole_store.claims import Broken, claim

_Naming = Callable[[str, str], None]

__all__ = ["check_bucket", "check_folder"]


def check_folder(location: ScratchLocation, root: Path) -> list[PromiseFinding]:
    """Check the file system of ``root``, which must be an empty folder made by the caller."""
    return [_durable(location, root), _exclusive(root), _folding(root), _file_system(root)]


def _durable(location: ScratchLocation, root: Path) -> PromiseFinding:
    if location.options.durability == "none":
        return PromiseFinding("durable files", "skipped", "durability=none: nothing is flushed")
    calls = Syscalls()
    try:
        fd = calls.create(str(root / "flushed"), 0o600)
        try:
            calls.write(fd, [memoryview(b"x" * 4096)])
            calls.sync_file(fd)
        finally:
            calls.close(fd)
        calls.sync_folder(str(root))
    except OSError as error:
        return PromiseFinding("durable files", "failed", f"fsync failed: {error.strerror}")
    return PromiseFinding(
        "durable files", "passed", "fsync of files and folders works; this can't show if the disk obeys it"
    )


def _exclusive(root: Path) -> PromiseFinding:
    """Check both ways of giving a file its name; one is enough."""
    calls = Syscalls()
    works, fails = [], []
    ways: dict[str, _Naming] = {"link": calls.link, "rename without replacing": calls.rename_new}
    for name, call in ways.items():
        (root / "aside").write_bytes(b"new")
        (root / f"{name}.new").unlink(missing_ok=True)
        try:
            call(str(root / "aside"), str(root / f"{name}.new"))
            (root / "aside").write_bytes(b"other")
            _claim_exists(call, root, name)
        except OSError as error:
            fails.append(f"{name}: {error.strerror}")
        except Broken as error:
            return PromiseFinding("exclusive link or rename", "failed", str(error))
        else:
            works.append(name)
    seen = ", ".join([*(f"{name} works" for name in works), *fails])
    return PromiseFinding("exclusive link or rename", "passed" if works else "failed", seen)


def _claim_exists(call: _Naming, root: Path, name: str) -> None:
    try:
        call(str(root / "aside"), str(root / f"{name}.new"))
    except FileExistsError:
        return
    claim(False, f"{name} replaced an existing file")


def _folding(root: Path) -> PromiseFinding:
    (root / "case").write_bytes(b"")
    (root / "u\u0308").write_bytes(b"")
    folded = [what for what, name in (("case", "CASE"), ("accents", "\u00fc")) if (root / name).exists()]
    seen = (
        f"the file system ignores {' and '.join(folded)} of file names; Sheaf doesn't depend on them"
        if folded
        else "file names are stored unchanged"
    )
    return PromiseFinding("file names", "passed", seen)


def _file_system(root: Path) -> PromiseFinding:
    kind = filesystem_type(root) or "of unknown type"
    if is_network(kind):
        return PromiseFinding(
            "file system", "passed", f"{kind}, a network file system: gc waits 120 s before it decides"
        )
    free = os.statvfs(root)
    return PromiseFinding("file system", "passed", f"{kind}, local, {free.f_bavail * free.f_frsize >> 30} GiB free")


def check_bucket(location: ScratchLocation) -> list[PromiseFinding]:
    """Check the versioning and the rules of a bucket; the rules require more permissions than a store does."""
    # This imports the clients of all clouds, which a folder doesn't need.
    from sheaf.storage.bucket.object_versions import keeps_versions

    with location.open() as backend:
        keeps = keeps_versions(backend, "version")
    versions = "the bucket keeps old versions: delete them after an erasure; let a rule expire them after a gc"
    seen = versions if keeps else "responses contain no version ids"
    return [PromiseFinding("old versions", "warning" if keeps else "passed", seen), check_bucket_rules(location)]
