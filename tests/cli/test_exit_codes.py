"""The exit codes that help names for each command, against what it can meet: reviewed by what a command touches."""

from __future__ import annotations

import pytest

from sheaf.cli.verb_tree import verbs_of
from sheaf.cli.verbs import SHEAF, VERBS, sheaf

#: Not there or a repo, ref or path; too new, ambiguous or a library missing; damaged; unreachable; not allowed.
OF_STORES = {3, 5, 6, 8, 9}
FULL, TAKEN, PARTIAL = 10, 4, 11
#: Commands that open no store.
LOCAL = {"completion", "sidecar scripts", "version"}
#: Commands whose child processes open the store, and say how that failed; the command itself knows that they failed.
IN_CHILDREN = {"sidecar fuse", "sidecar postgres"}
LOCAL_NOUNS = ("cache", "config", "context")
#: Commands that read stores and never write to one, nor files here.
READING = {
    "branch get", "branch list", "bundle diff", "bundle get", "bundle list", "bundle list files", "bundle mount",
    "bundle verify", "cat", "diamond get", "diamond list", "diamond split get", "diamond split list", "diff", "find",
    "label get", "label list", "log", "ls", "repo get", "repo list", "repo mount", "store check", "store erased",
    "status", "store info", "store key list", "store mount", "store replica list", "wait",
}  # fmt: skip
#: Commands that make a store, or a place for one, so none has to be there.
MAKING = {"store init", "store torture"}
EXITS = {name: set(verb.exits) for name, verb in verbs_of(sheaf, SHEAF, VERBS)}


def _is_local(name: str) -> bool:
    return name in LOCAL or name.split(maxsplit=1)[0] in LOCAL_NOUNS


@pytest.mark.parametrize("name", [name for name in EXITS if not _is_local(name) and name not in IN_CHILDREN])
def test_what_opens_a_store_names_how_that_can_fail(name: str) -> None:
    assert OF_STORES - ({3} if name in MAKING else set()) <= EXITS[name]
    assert (FULL in EXITS[name]) == (name not in READING)


@pytest.mark.parametrize("name", [name for name in EXITS if _is_local(name)])
def test_what_opens_no_store_can_not_fail_for_one(name: str) -> None:
    assert not EXITS[name] & {5, 6, 7, 8}


def test_options_that_answer_by_code_say_so() -> None:
    for name, verb in verbs_of(sheaf, SHEAF, VERBS):
        options = {option for param in verb.params for option in param.opts}
        assert ("--exit-code" in options) <= (1 in verb.exits), name
        assert ("--skip-on-error" in options) <= (PARTIAL in verb.exits), name
        assert bool({"--move-label", "--expect"} & options) <= (TAKEN in verb.exits), name
        assert ("--no-wait" in options) <= (PARTIAL in verb.exits), name


def test_the_table_names_commands_that_there_are() -> None:
    assert EXITS.keys() >= LOCAL | READING | MAKING | IN_CHILDREN


def test_what_fails_in_a_child_is_refused_or_unavailable() -> None:
    assert all({3, 5, 8} <= EXITS[name] for name in IN_CHILDREN)
