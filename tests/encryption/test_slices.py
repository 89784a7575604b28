"""Tests of crashes, replicas, garbage and erasing, and the model, again: in encrypted stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests.crash.builders import World, build_world
from tests.crash.test_every_write import (  # noqa: F401 - tests
    test_a_lost_answer_goes_unnoticed_where_calls_are_repeated,
    test_a_process_that_lost_an_answer_can_go_on,
    test_no_crash_loses_anything,
)
from tests.encryption.builders import covered, encrypted_worlds
from tests.erase.builders import new_backend, process
from tests.erase.test_crash import made, test_a_crash_loses_nothing_and_a_second_try_ends_it  # noqa: F401 - tests
from tests.erase.test_erase import (  # noqa: F401 - tests
    test_a_big_file_leaves_and_what_is_nearly_the_same_stays,
    test_a_bundle_with_something_erased_can_be_edited_and_copied,
    test_a_content_that_is_a_chunk_of_another_stays_in_it,
    test_a_small_file_leaves_under_all_its_names,
    test_recipes_of_what_is_gone_are_gone,
    test_the_same_bytes_are_refused_and_nothing_of_them_is_stored,
    test_what_a_dead_upload_left_leaves,
    test_what_only_a_deleted_bundle_has_leaves,
)
from tests.garbage.simulation import Folders, play, tiny
from tests.replicas.test_catching_up import (  # noqa: F401 - tests
    test_deleting_while_a_replica_catches_up_makes_it_look_again,
    test_what_gc_deleted_leaves_the_replica_after_the_records_that_say_so,
    test_what_the_primary_lost_by_accident_stays_in_the_replica_unless_told,
)
from tests.replicas.test_every_call import (  # noqa: F401 - tests
    test_a_commit_that_is_stopped_leaves_every_place_whole,
    test_a_promotion_that_is_stopped_leaves_at_most_one_primary_and_can_be_repeated,
    test_when_the_primary_is_destroyed_nothing_committed_is_lost,
)
from tests.replicas.test_policies import (  # noqa: F401 - tests
    test_promotion_hands_over_and_the_old_primary_follows,
    test_reads_go_to_a_replica_while_the_primary_is_away,
    test_what_was_cached_of_one_place_is_not_believed_of_another,
    test_with_less_a_replica_that_is_cut_off_is_left_behind_until_it_catches_up,
)
from tests.stateful.test_store import StoreMachine

from sheaf.repo.store import Store
from sheaf.storage.port import Backend


@pytest.fixture(autouse=True)
def encrypted() -> Iterator[None]:
    with encrypted_worlds():
        yield


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    with encrypted_worlds():
        return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def backend() -> Backend:
    """For tests that look into packs: they see what the engine sees."""
    return covered(new_backend())


@pytest.fixture
def store(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with process(backend, "first") as opened:
        yield opened


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory.mktemp("folders"))


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 30))])
def test_nothing_is_lost_by_gc(seed: int, folders: Folders) -> None:
    with tiny():
        play(seed, folders)


class EncryptedMachine(StoreMachine):
    """The model, with encrypted stores."""

    def __init__(self) -> None:
        with encrypted_worlds():
            super().__init__()


TestEncryptedStore = EncryptedMachine.TestCase
TestEncryptedStore.settings = settings(max_examples=8, stateful_step_count=20, deadline=None, print_blob=True)
