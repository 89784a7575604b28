"""What must be true of a store at any time, whatever has happened to it."""

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
    """The check is clean, every ref resolves, every byte of every bundle is what it should be, or AssertionError.

    A chunk that the dedup index doesn't list costs space and nothing else: it is let through.
    """
    problems = [problem for problem in store.check(read_data=True).problems if problem.key != keys.INDEX]
    claim(not problems, f"check finds {problems}")
    for info in store.repos():
        repo = store.repo(info.name)
        bundles = repo.bundles()
        claim(info.bundles == len(bundles), f"{info.name} counts {info.bundles} bundles and lists {len(bundles)}")
        assert_refs_resolve(repo)
        for bundle in bundles:
            assert_complete(bundle)


def assert_refs_resolve(repo: Repo) -> None:
    """Every label, branch, id and version leads to a bundle that is listed."""
    listed = {bundle.id for bundle in repo.bundles()}
    for label in repo.labels():
        claim(repo.bundle(f"label:{label.name}").id in listed, f"label {label.name} leads nowhere")
    for branch in repo.branches():
        claim(repo.bundle(f"branch:{branch.name}").id in listed, f"branch {branch.name} leads nowhere")
        history = [bundle.id for bundle in repo.log(f"branch:{branch.name}")]
        claim(len(history) == len(set(history)), f"the history of {branch.name} goes in circles")
    for id in listed:
        bundle = repo.bundle(f"bundle:{id}")
        claim(repo.bundle(f"version:{bundle.version}").version == bundle.version, f"version {bundle.version} is lost")


def assert_complete(bundle: Bundle) -> None:
    """Every byte of a bundle can be read and is verified; its manifest is a folder tree and adds up."""
    assert_tree(bundle)
    try:
        verified = bundle.verify()
    except SheafError as error:
        raise AssertionError(f"{bundle} is damaged: {error.message}") from error
    files = verified.files + len(verified.erased)
    claim(files == bundle.files, f"{bundle} has {files} files and says {bundle.files}")


def assert_tree(bundle: Bundle) -> None:
    """Rows are in order, no path stands twice, and what is above each path is a folder."""
    kinds: dict[str, str] = {}
    before = b""
    for entry in bundle.ls(recursive=True):
        folder, _, name = entry.path.rpartition("/")
        key = order_key(folder, name)
        claim(key > before, f"{bundle} is not in order at {entry.path!r}")
        before = key
        for above in ancestors(entry.path):
            claim(kinds.get(above) == "folder", f"{bundle} has {entry.path!r} but {above!r} is no folder")
        kinds[entry.path] = entry.kind
    files = sum(kind != "folder" for kind in kinds.values())
    claim(bundle.files == files, f"{bundle} lists {files} files and says {bundle.files}")
    claim(bundle.entries == len(kinds), f"{bundle} lists {len(kinds)} entries and says {bundle.entries}")
