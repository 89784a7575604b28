"""Shares the servers of the tests, and the command line in a home of its own."""

from tests.cli.conftest import cli  # noqa: F401 - fixtures
from tests.servers.fixtures import dummy_credentials, fresh, s3_endpoint  # noqa: F401
