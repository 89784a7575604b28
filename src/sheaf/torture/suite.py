"""The test cases for all backends, grouped by guarantee. Run by pytest and by ``sheaf store torture``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sheaf.torture.cases import creating, deleting, listing, naming, reading
from sheaf.torture.trial import Trial

__all__ = ["CASES", "Case"]


@dataclass(frozen=True, slots=True)
class Case:
    """A test of a guarantee. ``run`` requires an empty location and raises if the guarantee does not hold."""

    promise: str
    run: Callable[[Trial], None]

    @property
    def name(self) -> str:
        """The name of the test function."""
        return self.run.__name__


_BY_PROMISE: Final[dict[str, tuple[Callable[[Trial], None], ...]]] = {
    "create-if-absent": (
        creating.a_second_create_of_other_bytes_changes_nothing,
        creating.a_second_create_of_the_same_bytes_is_mine,
        creating.nearly_the_same_bytes_are_other,
    ),
    "exclusive create": (creating.of_many_creators_one_wins, creating.of_creators_of_equal_bytes_all_succeed),
    "no lost writes": (creating.nothing_acknowledged_is_lost, creating.threads_write_in_new_folders),
    "read after write": (
        creating.an_object_reads_back,
        reading.an_object_is_read_as_soon_as_it_is_created,
        reading.a_missing_object_is_not_found,
        reading.stat_tells_key_and_size,
        reading.an_object_beyond_the_limit_is_corrupt,
        reading.a_closed_context_gives_itself,
    ),
    "byte ranges": (
        reading.ranges_come_in_the_order_asked,
        reading.adjacent_and_overlapping_ranges,
        reading.hundreds_of_ranges,
        reading.ranges_of_no_length_are_empty,
        reading.no_ranges_are_no_answer,
        reading.a_range_past_the_end_is_corrupt,
        reading.a_range_of_an_empty_object_is_corrupt,
        reading.ranges_of_a_missing_object_are_not_found,
        reading.negative_ranges_are_refused,
        reading.threads_read_at_once,
    ),
    "large objects": (creating.a_large_object,),
    "sizes and buffers": (
        creating.an_empty_object_is_an_object,
        creating.sizes,
        creating.many_buffers_are_one_object,
        creating.more_buffers_than_one_system_call_takes,
        creating.wide_buffers_are_bytes,
        creating.a_changed_buffer_does_not_change_the_object,
    ),
    "keys": (
        naming.odd_keys_are_taken,
        naming.bad_keys_are_refused,
        naming.bad_prefixes_are_refused,
        naming.case_is_told_apart_by_folder,
        naming.the_url_is_one_line_without_query,
    ),
    "list after write": (
        listing.what_was_created_before_a_listing_is_in_it,
        listing.an_empty_store_lists_nothing,
        listing.a_listing_has_keys_and_sizes,
        listing.a_prefix_is_a_plain_string_prefix,
    ),
    "long listings": (listing.a_listing_longer_than_a_page,),
    "listing order": (
        listing.sorted_is_bytewise_over_the_whole_key,
        listing.a_store_that_calls_itself_ordered_is,
        listing.newest_is_the_least_key,
        listing.newest_passes_over_empty_folders,
        listing.newest_does_not_look_beyond_the_prefix,
    ),
    "delete": (
        deleting.a_deleted_object_is_gone,
        deleting.delete_may_be_repeated,
        deleting.a_deleted_key_is_free_again,
        deleting.deleting_a_folder_name_deletes_nothing,
    ),
    "replace": (deleting.what_was_replaced_has_the_new_bytes,),
}

CASES: Final[tuple[Case, ...]] = tuple(Case(promise, run) for promise, runs in _BY_PROMISE.items() for run in runs)
