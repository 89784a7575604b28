"""A model of three-way merges: dictionaries of paths, and trees to merge."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from hypothesis import strategies as st

from sheaf.model.paths import ancestors

Tree = dict[
    str, str
]  #: by path: "/" for a folder, "@x" for a symlink, else a file's content, with "*" an executable one
PATHS = ("a", "a-b", "p", "p/q", "p/q/z", "p/x", "p/y", "r", "r/x")


def valid(drawn: Mapping[str, str]) -> Tree:
    tree: Tree = {}
    for path in sorted(drawn, key=len):
        if drawn[path] and all(tree.get(above, "/") == "/" for above in ancestors(path)):
            tree |= dict.fromkeys(ancestors(path), "/") | {path: drawn[path]}
    return tree


VALUES = st.sampled_from(("", "1", "1*", "2", "2*", "3", "@1", "/"))
TREES = st.fixed_dictionaries(dict.fromkeys(PATHS, VALUES))


@st.composite
def three_trees(draw: st.DrawFn) -> tuple[Tree, Tree, Tree]:
    """A base, and two trees that are like it in most paths."""
    base = valid(draw(TREES))
    return base, draw(_changed(base)), draw(_changed(base))


def _changed(base: Tree) -> st.SearchStrategy[Tree]:
    removed = st.sets(st.sampled_from(PATHS), max_size=2)
    return st.builds(partial(_edited, base), removed, st.dictionaries(st.sampled_from(PATHS), VALUES, max_size=3))


def _edited(base: Tree, removed: set[str], changed: Tree) -> Tree:
    """Return a tree without some paths and all that is below them, and with others set."""
    left = {path: value for path, value in base.items() if removed.isdisjoint([path, *ancestors(path)])}
    for path, value in changed.items():
        if value and value != "/":
            left = {other: kept for other, kept in left.items() if path not in ancestors(other)}
        left[path] = value
    return valid(left)


def merged_model(base: Tree, ours: Tree, theirs: Tree) -> tuple[Tree, set[str]]:
    """Return the merged tree, and the paths in conflict: of files, and of files that stand where a folder must be."""
    files: Tree = {}
    wrong: set[str] = set()
    for path in {*base, *ours, *theirs}:
        b, o, t = (tree.get(path, "").replace("/", "") for tree in (base, ours, theirs))
        content = _chosen(b[:2].strip("*"), o.strip("*"), t.strip("*"))
        if content is None or (b and not (o and t) and len({b, o, t}) == 3):
            wrong.add(path)
        elif "@" in b + o + t or not (b and o and t):
            if (whole := _chosen(b, o, t)) is None:
                wrong.add(path)
            else:
                files[path] = whole
        else:
            files[path] = content + (_chosen(*("*" * side.count("*") for side in (b, o, t))) or "")
    files = {path: value for path, value in files.items() if value}
    folders = {
        path
        for path in {*base, *ours, *theirs}
        if _chosen(*(str(tree.get(path) == "/") for tree in (base, ours, theirs))) == "True"
    }
    folders |= {above for path in {*files, *wrong, *folders} for above in ancestors(path)}
    return {**files, **dict.fromkeys(folders, "/")}, wrong | (folders & files.keys())


def _chosen(base: str, ours: str, theirs: str) -> str | None:
    return ours if ours == theirs or base == theirs else theirs if base == ours else None
