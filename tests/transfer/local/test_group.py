"""Files are gathered up to a limit, and big ones go alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sheaf.transfer.local.group import groups_of


def test_a_group_ends_with_the_file_that_reaches_a_limit() -> None:
    assert list(groups_of(enumerate([1] * 5), 2, 100)) == [[0, 1], [2, 3], [4]]
    assert list(groups_of(enumerate([4, 4, 4, 20, 1]), 9, 8)) == [[0, 1], [2, 3], [4]]
    assert list(groups_of([], 2, 8)) == []


def test_a_big_file_overtakes_those_that_are_gathered() -> None:
    assert list(groups_of(enumerate([1, 9, 1, 9]), 9, 100, alone=8)) == [[1], [3], [0, 2]]


@given(st.lists(st.integers(0, 20)), st.integers(1, 4), st.integers(1, 30), st.none() | st.integers(0, 20))
def test_every_file_is_in_one_group(sizes: list[int], files: int, most: int, alone: int | None) -> None:
    groups = list(groups_of(enumerate(sizes), files, most, alone=alone))
    assert sorted(number for group in groups for number in group) == list(range(len(sizes)))
    assert all(0 < len(group) <= files for group in groups)
    assert all(sum(sizes[number] for number in group[:-1]) < most for group in groups)
