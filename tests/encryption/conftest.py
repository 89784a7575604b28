"""Shares the servers of the tests."""

from tests.servers.fixtures import dummy_credentials, fresh, s3_endpoint  # noqa: F401 - fixtures
