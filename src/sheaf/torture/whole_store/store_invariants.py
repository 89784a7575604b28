"""Conditions that must always hold for a store."""

from __future__ import annotations

from sheaf.errors import SheafError
from sheaf.format import keys
from sheaf.model.paths import ancestors, order_key
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.torture.whole_store.claims import claim

__all__ = ["assert_complete", "assert_refs_resolve", "assert_sound", "assert_tree"]


def assert_sound(store: Store) -> None:
    """Raise AssertionError unless the check is clean, every ref resolves and every bundle verifies.

    A chunk that is missing in the dedup index is not an error: it only costs space.
    """
    problems = [problem for problem in store.check(read_data=True).problems if problem.key != keys.INDEX]
    claim(not problems, f"check found {problems}")
    for info in store.repos():
        repo = store.repo(info.name)
        bundles = repo.bundles()
        claim(info.bundles == len(bundles), f"{info.name} counts {info.bundles} bundles but lists {len(bundles)}")
        assert_refs_resolve(repo)
        for bundle in bundles:
            assert_complete(bundle)


def assert_refs_resolve(repo: Repo) -> None:
    """Raise Broken unless every label, branch, id and version points to a listed bundle."""
    listed = {bundle.id for bundle in repo.bundles()}
    for label in repo.labels():
        claim(repo.bundle(f"label:{label.name}").id in listed, f"label {label.name} points to no listed bundle")
    for branch in repo.branches():
        claim(repo.bundle(f"branch:{branch.name}").id in listed, f"branch {branch.name} points to no listed bundle")
        history = [bundle.id for bundle in repo.log(f"branch:{branch.name}")]
        claim(len(history) == len(set(history)), f"the history of {branch.name} is cyclic")
    for id in listed:
        bundle = repo.bundle(f"bundle:{id}")
        claim(
            repo.bundle(f"version:{bundle.version}").version == bundle.version, f"version {bundle.version} is not found"
        )


def assert_complete(bundle: Bundle) -> None:
    """Raise AssertionError unless all bytes of the bundle verify and its manifest is a consistent folder tree."""
    assert_tree(bundle)
    try:
        verified = bundle.verify()
    except SheafError as error:
        raise AssertionError(f"{bundle} is damaged: {error.message}") from error
    files = verified.files + len(verified.erased)
    claim(files == bundle.files, f"{bundle} has {files} files but its record says {bundle.files}")


def assert_tree(bundle: Bundle) -> None:
    """Raise Broken unless rows are in order, paths are unique and the parents of each path are folders."""
    kinds: dict[str, str] = {}
    before = b""
    for entry in bundle.ls(recursive=True):
        folder, _, name = entry.path.rpartition("/")
        key = order_key(folder, name)
        claim(key > before, f"{bundle}: {entry.path!r} is out of order")
        before = key
        for above in ancestors(entry.path):
            claim(kinds.get(above) == "folder", f"{bundle} has {entry.path!r} but {above!r} is not a folder")
        kinds[entry.path] = entry.kind
    files = sum(kind != "folder" for kind in kinds.values())
    claim(bundle.files == files, f"{bundle} lists {files} files but its record says {bundle.files}")
    claim(bundle.entries == len(kinds), f"{bundle} lists {len(kinds)} entries but its record says {bundle.entries}")
