"""Hypothesis strategies: trees, names, contents and edits, including unusual ones."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from sheaf.model.paths import ancestors
from sheaf.testing.model_repo import FOLDER, ModelEntry, Tree, with_folders

__all__ = ["EditStep", "contents", "edited", "edits", "names", "paths", "trees"]

#: Names that sort, fold or nest awkwardly; with "a", "a-b" and "a/b" a plain order of paths would be wrong.
PORTABLE = ("a", "a-b", "a.b", "ab", "a b", "b", "-", "~", ".a", "..a", "é", "日本", "\U0001f34e")
#: Also names that collide on file systems that fold case or Unicode forms.
AWKWARD = (*PORTABLE, "B", "e\u0301", "ß", "a\\b", "$(x)")


def names(*, portable: bool = False) -> st.SearchStrategy[str]:
    """A component of a path. ``portable``: only names that don't collide on any file system."""
    if portable:
        return st.sampled_from(PORTABLE)
    letters = st.characters(exclude_characters="/\0", exclude_categories=["Cs"])
    free = st.text(letters, min_size=1, max_size=20).filter(lambda name: name not in (".", ".."))
    longest = st.just(255).map(lambda size: "n" * size)
    return st.one_of(st.sampled_from(AWKWARD), free, longest)


def paths(*, portable: bool = False, depth: int = 6) -> st.SearchStrategy[str]:
    """A path of up to ``depth`` components, mostly shallow."""
    parts = st.one_of(
        st.lists(names(portable=portable), min_size=1, max_size=3),
        st.lists(st.sampled_from(("a", "b")), min_size=1, max_size=depth),
    )
    return parts.map("/".join)


def contents(*, largest: int = 40_000) -> st.SearchStrategy[bytes]:
    """A file's bytes: empty, tiny, repetitive, or random noise of up to ``largest`` bytes."""
    noise = st.builds(
        lambda seed, size: random.Random(seed).randbytes(size),
        st.integers(0, 7),
        st.sampled_from([1, 16_383, 16_384, 16_385, largest]),
    )
    repetitive = st.integers(0, 20_000).map(lambda size: b"x" * size)
    return st.one_of(st.binary(max_size=40), repetitive, noise)


_TARGETS = (b"a", b"../b", b"/etc/passwd", "é".encode())


def entries(*, largest: int = 40_000) -> st.SearchStrategy[ModelEntry]:
    """An entry of a path."""
    files = st.builds(lambda content, x: ModelEntry("file", content, x), contents(largest=largest), st.booleans())
    links = st.sampled_from(_TARGETS).map(lambda target: ModelEntry("symlink", target))
    return st.one_of(files, files, links, st.just(FOLDER))


def trees(
    *, max_size: int = 12, portable: bool = False, largest: int = 40_000
) -> st.SearchStrategy[dict[str, ModelEntry]]:
    """A tree with a row for every folder."""
    drawn = st.lists(st.tuples(paths(portable=portable), entries(largest=largest)), max_size=max_size)
    return drawn.map(_grown)


def _grown(drawn: list[tuple[str, ModelEntry]]) -> dict[str, ModelEntry]:
    """Build a tree from the pairs, without entries that would be below a file or replace a folder."""
    tree: dict[str, ModelEntry] = {}
    for path, entry in drawn:
        if path not in tree and all(tree.get(above, FOLDER) == FOLDER for above in ancestors(path)):
            tree = {**with_folders({path: entry}), **tree}
    return tree


# -- edits -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EditStep:
    """One step of an edit: set ``path`` to ``entry``, remove it (no entry), or copy ``source`` to it."""

    path: str
    entry: ModelEntry | None = None
    source: str = ""


@st.composite
def edits(draw: st.DrawFn, tree: Tree, *, max_size: int = 5, portable: bool = False) -> list[EditStep]:
    """Draw steps that fit a tree one after the other; each is valid when it is applied."""
    now = dict(tree)
    steps: list[EditStep] = []
    for _ in range(draw(st.integers(1, max_size))):
        step = draw(_step(now, portable))
        if (after := edited(now, tree, step)) is not None:
            now = after
            steps.append(step)
    return steps


def _step(now: Tree, portable: bool) -> st.SearchStrategy[EditStep]:
    settable = entries().filter(lambda entry: entry.kind != "folder")
    free = paths(portable=portable)
    puts = st.builds(EditStep, free, settable)
    if not now:
        return puts
    there = st.sampled_from(sorted(now))
    copies = st.builds(lambda path, source: EditStep(path, None, source), free, there)
    return st.one_of(puts, st.builds(EditStep, there, settable), st.builds(EditStep, there), copies)


def edited(now: Tree, base: Tree, step: EditStep) -> dict[str, ModelEntry] | None:
    """The tree after a step; None if the step is not allowed. Copies read from ``base``, which doesn't change."""
    if step.source:
        return _copied(now, base, step) if step.source in base else None
    if step.entry is not None:
        return _placed(now, step.path, step.entry)
    if step.path not in now:
        return None
    return {path: entry for path, entry in now.items() if path != step.path and not path.startswith(step.path + "/")}


def _copied(now: Tree, base: Tree, step: EditStep) -> dict[str, ModelEntry] | None:
    below = {path: entry for path, entry in base.items() if path == step.source or path.startswith(step.source + "/")}
    result: dict[str, ModelEntry] | None = dict(now)
    for path, entry in below.items():
        if result is not None:
            result = _placed(result, step.path + path.removeprefix(step.source), entry)
    return result


def _placed(now: Tree, path: str, entry: ModelEntry) -> dict[str, ModelEntry] | None:
    if any(now.get(above, FOLDER) != FOLDER for above in ancestors(path)):
        return None
    if path in now and (now[path].kind == "folder") != (entry.kind == "folder"):
        return None
    result: Mapping[str, ModelEntry] = {**with_folders({path: entry}), **now}
    return {**result, path: entry}
