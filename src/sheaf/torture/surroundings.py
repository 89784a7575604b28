"""What can be said of a folder or a bucket by looking at it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sheaf.storage.folder.network_mounts import filesystem_type, is_network
from sheaf.storage.folder.syscalls import Syscalls
from sheaf.torture.promises import Finding
from sheaf.torture.rules import look_at_rules
from sheaf.torture.scratch_location import Place
from sheaf.torture.whole_store.claims import Broken, claim

_Naming = Callable[[str, str], None]

__all__ = ["look_at_bucket", "look_at_folder"]


def look_at_folder(place: Place, root: Path) -> list[Finding]:
    """``root`` is a folder of ours, empty."""
    return [_durable(place, root), _exclusive(root), _folding(root), _file_system(root)]


def _durable(place: Place, root: Path) -> Finding:
    if place.options.durability == "none":
        return Finding("durable files", "not tried", "durability=none: nothing is flushed")
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
        return Finding("durable files", "broken", f"flushing fails: {error.strerror}")
    return Finding("durable files", "kept", "flushing files and folders works; whether the disk obeys can't be seen")


def _exclusive(root: Path) -> Finding:
    """Both ways of giving a file its name; one is enough."""
    calls = Syscalls()
    works, fails = [], []
    ways: dict[str, _Naming] = {"link": calls.link, "rename without replacing": calls.rename_new}
    for name, call in ways.items():
        (root / "aside").write_bytes(b"new")
        (root / f"{name}.new").unlink(missing_ok=True)
        try:
            call(str(root / "aside"), str(root / f"{name}.new"))
            (root / "aside").write_bytes(b"other")
            _claim_taken(call, root, name)
        except OSError as error:
            fails.append(f"{name}: {error.strerror}")
        except Broken as error:
            return Finding("exclusive names", "broken", str(error))
        else:
            works.append(name)
    seen = ", ".join([*(f"{name} works" for name in works), *fails])
    return Finding("exclusive names", "kept" if works else "broken", seen)


def _claim_taken(call: _Naming, root: Path, name: str) -> None:
    try:
        call(str(root / "aside"), str(root / f"{name}.new"))
    except FileExistsError:
        return
    claim(False, f"{name} replaced a file that was there")


def _folding(root: Path) -> Finding:
    (root / "case").write_bytes(b"")
    (root / "u\u0308").write_bytes(b"")
    folded = [what for what, name in (("case", "CASE"), ("accents", "\u00fc")) if (root / name).exists()]
    seen = (
        f"{' and '.join(folded)} of names are folded: keys don't depend on them"
        if folded
        else "names are kept as they are"
    )
    return Finding("file names", "kept", seen)


def _file_system(root: Path) -> Finding:
    kind = filesystem_type(root) or "of unknown type"
    if is_network(kind):
        return Finding("file system", "kept", f"{kind} is a network file system: gc lets 120 s pass before it decides")
    free = os.statvfs(root)
    return Finding("file system", "kept", f"{kind}, of this machine, {free.f_bavail * free.f_frsize >> 30} GiB free")


def look_at_bucket(place: Place) -> list[Finding]:
    """Versions show in the answer to any write; the other settings take rights that not everybody has."""
    from sheaf.storage.bucket.object_versions import keeps_versions  # loads the clients of all clouds

    with place.open() as backend:
        keeps = keeps_versions(backend, "version")
    versions = "objects have versions: delete the old ones after an erasure, let a rule expire them after a gc"
    seen = versions if keeps else "no versions in its answers"
    return [Finding("old versions", "warning" if keeps else "kept", seen), look_at_rules(place)]
