"""What people type, and the bundle that is meant."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.engine.builders import Place, Recorder, commit, descriptor

from sheaf.engine.core import Core
from sheaf.engine.log.record_log import repo_log
from sheaf.engine.log.resolve import Refs
from sheaf.errors import Ambiguous, InvalidInput, NotFound, SheafError
from sheaf.model.records import AddBundle, SetLabel
from sheaf.repo.repo import Repo
from sheaf.testing.clock import SteeredClock


@pytest.fixture
def ids(place: Place) -> list[str]:
    """Four bundles in a row on main; the second is labelled, dev is at the third, the first two have one version."""
    repo = place.repo()
    made = [commit(repo, {"a": b"1"}), commit(repo, {"a": b"1"}), commit(repo, {"a": b"2"}), commit(repo, {"a": b"3"})]
    repo.set_label("v1", made[1])
    repo.create_branch("dev", made[2])
    return made


@pytest.fixture
def repo(place: Place, ids: list[str]) -> Repo:
    return place.repo()


def test_each_form_leads_to_its_bundle(repo: Repo, ids: list[str]) -> None:
    versions = [repo.bundle(id).version for id in ids]
    expected = {
        "v1": 1,
        "label:v1": 1,
        "dev": 2,
        "branch:dev": 2,
        "main": 3,
        ids[0]: 0,
        f"bundle:{ids[2]}": 2,
        versions[3]: 3,
        versions[2][:8]: 2,
        f"version:{versions[2]}": 2,
        "main~0": 3,
        "main~": 2,
        "main~3": 0,
        "v1~1": 0,
        f"{ids[3]}~2": 1,
        f"version:{versions[2][:12]}~2": 0,
        "branch:dev~1": 1,
        ids[2][:20]: 2,
        f"bundle:{ids[1][:20]}": 1,
        f"{ids[3][:20]}~1": 2,
    }
    assert {ref: repo.bundle(ref).id for ref in expected} == {ref: ids[n] for ref, n in expected.items()}
    assert repo.bundle().id == ids[3]


def test_without_a_ref_it_is_the_head_of_main_whatever_came_later(repo: Repo, ids: list[str]) -> None:
    with repo.edit(message="an experiment", branch="dev") as edit:
        edit.put("a", b"wild")
        wild = edit.commit()
    assert repo.bundle().id == ids[3]
    assert [bundle.id for bundle in repo.log()] == ids[::-1]
    assert repo.create_branch("other").bundle == ids[3]
    assert repo.newest().id == wild.id


def test_without_a_main_the_other_branches_are_named(repo: Repo) -> None:
    repo.create_branch("stable", "main")
    repo.delete_branch("main")
    with pytest.raises(NotFound, match="no branch 'main'") as caught:
        repo.bundle()
    assert f"{repo.name}@dev, {repo.name}@stable" in caught.value.hint
    for name in ("dev", "stable"):
        repo.delete_branch(name)
    with pytest.raises(NotFound, match="no branch 'main'") as caught:
        repo.bundle()
    assert f"sheaf bundle list --repo {repo.name}" in caught.value.hint


def test_names_come_before_the_beginnings_of_ids(repo: Repo, ids: list[str]) -> None:
    repo.create_branch(ids[2][:20], ids[1])
    assert repo.bundle(ids[2][:20]).id == ids[1]
    assert repo.bundle(f"bundle:{ids[2][:20]}").id == ids[2]


def test_the_beginning_of_several_ids_is_refused(core: Core) -> None:
    log = repo_log(core, SteeredClock("repo").new_id())
    alike = [descriptor("3Ml8xCUF" + end * 19) for end in "01"]
    for bundle in alike:
        log.append(lambda head, bundle=bundle: (AddBundle(bundle),))  # type: ignore[misc]
    refs = Refs(log, "faces")
    for ref in ("3Ml8xCUF", "bundle:3Ml8xCUF", "3Ml8xCUF~1"):
        with pytest.raises(Ambiguous, match="2 bundles"):
            refs.resolve(ref)
    assert refs.resolve("3Ml8xCUF1") == alike[1]
    with pytest.raises(NotFound):
        refs.resolve("3Ml8xCU")


def test_a_deleted_bundle_is_found_by_the_beginning_of_its_id_only_to_bring_it_back(repo: Repo, ids: list[str]) -> None:
    repo.delete_bundle(ids[0][:20])
    with pytest.raises(NotFound):
        repo.bundle(ids[0][:20])
    assert repo.undelete_bundle(ids[0][:20]).id == ids[0]


def test_hex_digits_may_begin_a_version_or_an_id(core: Core) -> None:
    log = repo_log(core, SteeredClock("repo").new_id())
    one, two = "01234567" + "a" * 19, "0abcdef0" + "a" * 19
    for id, version in ((one, "c" * 64), (two, "01234567" + "c" * 56)):
        made = replace(descriptor(id), version=version)
        log.append(lambda head, made=made: (AddBundle(made),))  # type: ignore[misc]
    refs = Refs(log, "faces")
    assert refs.resolve("0abcdef0").id == two
    assert refs.resolve("version:01234567").id == two
    assert refs.resolve("bundle:01234567").id == one
    with pytest.raises(NotFound):
        refs.resolve("version:0abcdef0")
    with pytest.raises(Ambiguous, match="version and a bundle"):
        refs.resolve("01234567")


def test_a_version_means_the_newest_bundle_that_has_it(repo: Repo, ids: list[str]) -> None:
    assert repo.bundle(ids[0]).version == repo.bundle(ids[1]).version
    assert repo.bundle(f"version:{repo.bundle(ids[0]).version}").id == ids[1]


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ("nothing", NotFound),
        ("label:main", NotFound),
        ("branch:v1", NotFound),
        ("main~4", NotFound),
        ("version:" + "0" * 64, NotFound),
        ("0" * 8, NotFound),
        (SteeredClock("nobody").new_id(), NotFound),
        ("", InvalidInput),
        ("a b", InvalidInput),
        ("main~x", InvalidInput),
        ("bundle:main", InvalidInput),
        ("version:main", InvalidInput),
        ("../x", InvalidInput),
    ],
)
def test_what_means_nothing_is_refused(repo: Repo, ref: str, error: type[SheafError]) -> None:
    with pytest.raises(error):
        repo.bundle(ref)


def test_two_meanings_are_refused_with_the_way_out(repo: Repo, ids: list[str]) -> None:
    shared = SetLabel("dev", ids[0], target=repo.context.refs.get(ids[0]))  # as older programs could
    repo.context.log.append(lambda head: (shared,))
    with pytest.raises(Ambiguous) as caught:
        repo.bundle("dev")
    assert "label:dev" in caught.value.hint and "branch:dev" in caught.value.hint
    assert (repo.bundle("label:dev").id, repo.bundle("branch:dev").id) == (ids[0], ids[2])


def test_a_beginning_of_several_versions_is_refused(core: Core) -> None:
    log = repo_log(core, SteeredClock("repo").new_id())
    new_id = SteeredClock("bundles").new_id
    alike = [replace(descriptor(new_id()), version="abcdef01" + end * 56) for end in "01"]
    for bundle in alike:
        log.append(lambda head, bundle=bundle: (AddBundle(bundle),))  # type: ignore[misc]
    refs = Refs(log, "faces")
    with pytest.raises(Ambiguous, match="2 versions"):
        refs.resolve("abcdef01")
    assert refs.resolve("abcdef010") == alike[0]


@pytest.mark.parametrize("name", ["0" * 8, "deadbeef", "a" * 64, "label", "version", "x y", "", "a/b", "a" * 129])
def test_a_name_that_could_be_mistaken_is_refused(repo: Repo, name: str) -> None:
    with pytest.raises(InvalidInput):
        repo.set_label(name, "main")
    with pytest.raises(InvalidInput):
        repo.create_branch(name, "main")


def test_an_id_is_no_name(repo: Repo, ids: list[str]) -> None:
    with pytest.raises(InvalidInput, match="looks like"):
        repo.set_label(ids[0], "main")


def test_history_follows_first_parents(repo: Repo, ids: list[str]) -> None:
    assert [bundle.id for bundle in repo.log()] == ids[::-1]
    assert [bundle.id for bundle in repo.log("v1")] == ids[1::-1]
    with repo.edit(message="m", base="v1") as edit:
        edit.put("b", b"")
        merged = edit.commit()
    assert merged.parents == (ids[3], ids[1])
    assert [bundle.id for bundle in repo.log()] == [merged.id, *ids[::-1]]


def test_names_that_differ_in_case_are_different(repo: Repo, ids: list[str]) -> None:
    repo.set_label("V1", ids[3])
    assert (repo.bundle("v1").id, repo.bundle("V1").id) == (ids[1], ids[3])


def test_an_empty_repo_says_so(place: Place) -> None:
    with pytest.raises(NotFound, match="no bundles"):
        place.repo().bundle()


def test_a_named_bundle_is_found_without_reading_the_history(place: Place, ids: list[str]) -> None:
    recorder = Recorder(place.backend)
    repo = place.repo(recorder)
    recorder.calls.clear()
    for ref in ("v1", "dev", "main", None):
        repo.bundle(ref)
    newest = [call for call in recorder.calls if call[0] == "newest"]
    assert len(newest) <= 1
    assert len(recorder.calls) <= 2 + 4, "the newest record says it all; then one look for a newer one each"


def test_a_history_is_read_once(place: Place, ids: list[str]) -> None:
    recorder = Recorder(place.backend)
    repo = place.repo(recorder)
    list(repo.log())
    first = len(recorder.calls)
    assert [bundle.id for bundle in repo.log()] == ids[::-1]
    assert len(recorder.calls) <= first + 2
