"""Paths and their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheaf.errors import InvalidInput
from sheaf.model.paths import ancestors, check_path, check_target, common_folder, join, order_key, relative, split

#: Bytes that come before and after the separator, some of more than one byte in UTF-8.
NAMES = st.text("\x01 -.0ab\x7fé\U0001f600", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))
FOLDERS = st.lists(NAMES, max_size=4).map("/".join)
KEYS = st.tuples(FOLDERS, NAMES)


def componentwise(key: tuple[str, str]) -> tuple[list[bytes], bytes]:
    """What the order of rows is defined as."""
    folder, name = key
    return [part.encode() for part in folder.split("/")] if folder else [], name.encode()


@given(a=KEYS, b=KEYS)
def test_the_order_is_that_of_folders_by_components_then_names(a: tuple[str, str], b: tuple[str, str]) -> None:
    assert (order_key(*a) < order_key(*b)) == (componentwise(a) < componentwise(b))
    assert (order_key(*a) == order_key(*b)) == (a == b)


@given(keys=st.lists(KEYS, max_size=20, unique=True), folder=FOLDERS)
def test_a_folder_and_a_subtree_are_one_range_each(keys: list[tuple[str, str]], folder: str) -> None:
    ordered = sorted(keys, key=lambda key: order_key(*key))
    for inside in (
        [key[0] == folder for key in ordered],
        [key[0] == folder or key[0].startswith(folder + "/") or not folder for key in ordered],
    ):
        assert "".join("x" if i else " " for i in inside).strip().count(" ") == 0


def test_a_folder_comes_before_what_is_in_it() -> None:
    ordered = [("", "a"), ("", "a-b"), ("", "a.b"), ("a", "z"), ("a/z", "x"), ("a-b", "a")]
    assert sorted(ordered, key=lambda key: order_key(*key)) == ordered


@given(key=KEYS)
def test_split_and_join_are_each_others_inverse(key: tuple[str, str]) -> None:
    assert split(join(*key)) == key
    path = join(*key)
    assert check_path(path) == path
    assert ancestors(path) == [path[:i] for i in range(len(path)) if path[i] == "/"]


@given(a=FOLDERS, b=FOLDERS)
def test_the_common_folder_is_the_longest(a: str, b: str) -> None:
    common = common_folder(a, b)
    rest_a, rest_b = relative(a, common), relative(b, common)
    assert join(common, rest_a) == a
    assert join(common, rest_b) == b
    first_a, first_b = rest_a.split("/")[0], rest_b.split("/")[0]
    assert not first_a or not first_b or first_a != first_b
    assert common == common_folder(b, a)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/a", "a/", "a//b", ".", "..", "a/./b", "a/../b", "../a", "a\0b", "\udcff", "a" * 256, "a/" * 2048 + "b"],
)
def test_a_path_that_may_not_stand_in_a_bundle_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        check_path(path)


@pytest.mark.parametrize(
    "path", ["a" * 255, "é" * 127, "a/" * 2047 + "b", "...", "..a", "a\nb", "\\", "a:b", "CON", " "]
)
def test_names_are_free_otherwise(path: str) -> None:
    assert check_path(path) == path


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_no_text_makes_the_check_fail(text: str) -> None:
    try:
        assert check_path(text) == text
    except InvalidInput as error:
        assert "\n" not in error.message


@pytest.mark.parametrize("target", ["", "a\0b", "x" * 4096, "\udcff", "é" * 2048])
def test_targets_that_no_link_can_have_are_refused(target: str) -> None:
    with pytest.raises(InvalidInput, match="the target of symlink a/b"):
        check_target(target, "a/b")


@pytest.mark.parametrize("target", ["x", "/", "..", "x" * 4095])
def test_targets_may_be_any_other_text(target: str) -> None:
    assert check_target(target, "a/b") == target
