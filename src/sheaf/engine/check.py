"""Is everything there that should be, and is it what it should be? Reads; never changes anything."""

from __future__ import annotations

from sheaf.engine.checking.logs import check_log
from sheaf.engine.checking.others import check_index, check_others
from sheaf.engine.checking.packs import Needs, check_packs
from sheaf.engine.checking.report import Problem, Report, Tell
from sheaf.engine.checking.trees import Trees
from sheaf.engine.core import Core
from sheaf.engine.log import repo_log, store_log
from sheaf.engine.refs import Refs
from sheaf.errors import Corrupt, SheafError
from sheaf.format import keys
from sheaf.model.log import Bundle, RepoEntry, RepoState

__all__ = ["Problem", "Report", "check_store"]


def check_store(core: Core, *, read_data: bool = False, repo: str | None = None, tell: Tell | None = None) -> Report:
    """Check every log, bundle, node and place; with ``read_data`` also every byte of every pack.

    Args:
        repo: only this repo (its id), and of the packs only those that it needs.
        tell: called now and then with how far it is.
    """
    report, needs, tell = Report(), Needs(), tell or (lambda what, done: None)
    trees = Trees(core, needs, report, tell)
    for entry in _repos(core, report):
        if repo in (None, entry.id):
            for bundle in _bundles(core, entry, report):
                trees.bundle(bundle)
    check_packs(core, needs, report, tell, read_data=read_data)
    if repo is None:
        check_index(core, report)
        check_others(core, report)
    return report


def _repos(core: Core, report: Report) -> list[RepoEntry]:
    """The repos that the store's log names and that are not deleted."""
    try:
        state = check_log(core, keys.STORE_LOG, store_log(core), report)
        return [repo for repo in state.repos.values() if not repo.deleted]
    except SheafError as error:
        report.add("log", "log/", error)
        return []


def _bundles(core: Core, entry: RepoEntry, report: Report) -> list[Bundle]:
    """The bundles of a repo that are not deleted, after its log was checked."""
    log = repo_log(core, entry.id)
    try:
        state: RepoState = check_log(core, keys.repo(entry.id), log, report)
        bundles = Refs(log, entry.name).bundles()
        alive = {bundle.id for bundle in bundles}
        for name, target in [*state.labels.items(), *state.branches.items()]:
            if target.bundle not in alive:
                raise Corrupt(f"'{name}' names bundle {target.bundle}, which does not exist")
    except SheafError as error:
        report.add("log", keys.repo(entry.id), error)
        return []
    return bundles
