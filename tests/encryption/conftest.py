"""Shares the servers of the tests."""

from pathlib import Path

import pytest
from tests.servers.fixtures import dummy_credentials, fresh, s3_endpoint  # noqa: F401 - fixtures

#: Slices that `make test` leaves to the slow tier: their plain counterparts run, and so does one of the policies.
SLOW = (
    "test_a_commit_that_is_stopped_leaves_every_place_whole[majority]",
    "test_a_commit_that_is_stopped_leaves_every_place_whole[primary]",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.name in SLOW:
            item.add_marker(pytest.mark.slow)
