"""Shares the servers of the tests."""

from tests.servers.fixtures import (  # noqa: F401 - fixtures
    azure_endpoint,
    dummy_credentials,
    fresh,
    gcs_credential,
    gcs_endpoint,
    s3_endpoint,
)
