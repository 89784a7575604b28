"""Names of repos, labels and branches; refs and addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheaf.errors import InvalidInput
from sheaf.model.ids import is_ksuid, is_version
from sheaf.model.names import REF_FORMS, check_ref_name, check_repo_name
from sheaf.model.refs import Address, Ref, parse_address, parse_ref

ID = "0ujtsYcgvSTl8PAuAdqWYSMnLOv"
REF_NAMES = st.from_regex(r"[A-Za-z0-9._+-]{1,20}", fullmatch=True).filter(
    lambda name: not is_ksuid(name) and not is_version(name) and name not in REF_FORMS
)
REPO_NAMES = (
    st.lists(st.from_regex(r"[A-Za-z0-9._-]{1,6}", fullmatch=True), min_size=1, max_size=8)
    .map("/".join)
    .filter(lambda name: not {".", ".."} & set(name.split("/")))
)
PATHS = (
    st.lists(st.text("ab@:~. é", min_size=1, max_size=5), max_size=4)
    .map("/".join)
    .filter(lambda path: not {"", ".", ".."} & set(path.split("/")) or path == "")
)
REFS = st.one_of(
    REF_NAMES,
    st.just(ID),
    st.sampled_from(["0123abcd", "f" * 64]),
    REF_NAMES.map("label:{}".format),
    REF_NAMES.map("branch:{}".format),
    st.just(f"bundle:{ID}"),
    st.just("version:0123abcd"),
)


@given(name=REF_NAMES, back=st.integers(0, 999_999_999))
def test_a_name_is_a_name_however_far_back(name: str, back: int) -> None:
    assert check_ref_name(name) == name
    assert parse_ref(name) == Ref("name", name)
    assert parse_ref(f"{name}~{back}") == Ref("name", name, back)
    assert parse_ref(f"{name}~") == Ref("name", name, 1)
    assert parse_ref(f"label:{name}~{back}") == Ref("label", name, back)
    assert parse_ref(f"branch:{name}") == Ref("branch", name)


def test_ids_and_versions_are_known_by_their_shape() -> None:
    assert parse_ref(ID) == parse_ref(f"bundle:{ID}") == Ref("bundle", ID)
    assert parse_ref("0123abcd~2") == parse_ref("version:0123abcd~2") == Ref("version", "0123abcd", 2)


@pytest.mark.parametrize(
    "text", [ID, "0123abcd", "f" * 64, "label", "bundle", "", "a b", "a:b", "a/b", "ä", "x" * 129, "a~"]
)
def test_what_can_be_mistaken_is_no_name(text: str) -> None:
    with pytest.raises(InvalidInput):
        check_ref_name(text)


@pytest.mark.parametrize(
    "text", ["", "~", "~2", "label:", "bundle:x", "version:xyz", "version:0123", "branch:a b", "tag:x", "a~1~2"]
)
def test_a_ref_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_ref(text)


@given(repo=REPO_NAMES, ref=st.none() | REFS, path=PATHS)
def test_an_address_is_read_as_it_was_written(repo: str, ref: str | None, path: str) -> None:
    text = repo + (f"@{ref}" if ref else "") + (f":{path}" if path else "")
    assert parse_address(text) == Address(repo, ref, path)


def test_slashes_around_a_path_are_no_part_of_it() -> None:
    assert parse_address("r:/a/b/") == parse_address("r:a/b") == Address("r", None, "a/b")
    assert parse_address("r@x:/") == parse_address("r@x:") == Address("r", "x", "")


def test_a_path_may_hold_an_at_sign() -> None:
    assert parse_address("r:a@b.png") == Address("r", None, "a@b.png")
    assert parse_address("r@x:a@b:c.png") == Address("r", "x", "a@b:c.png")


@given(st.text(max_size=40))
def test_no_text_makes_parsing_fail(text: str) -> None:
    for parse in (parse_ref, parse_address, check_repo_name, check_ref_name):
        try:
            parse(text)
        except InvalidInput as error:
            assert error.hint or error.message


@pytest.mark.parametrize(
    "name", ["", "/", "a//b", "a/", "/a", ".", "a/..", "a b", "a@b", "a:b", "é", "/".join("a" * 9), "a" * 129]
)
def test_a_repo_name_that_breaks_the_rules_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="invalid repo name"):
        check_repo_name(name)
