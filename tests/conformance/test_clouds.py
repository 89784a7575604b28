"""The shipped suite on buckets of servers on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from sheaf.storage.open import open_backend
from sheaf.storage.port import Backend
from sheaf.testing.conformance import BackendConformance


class TestS3(BackendConformance):
    @pytest.fixture
    def backend(self, s3_endpoint: str, fresh: str) -> Backend:
        return open_backend(f"s3://bucket/{fresh}?endpoint={s3_endpoint}")


class TestUnorderedS3(BackendConformance):
    """The paths taken where a store lists in no order."""

    @pytest.fixture
    def backend(self, s3_endpoint: str, fresh: str) -> Backend:
        return open_backend(f"s3://bucket/{fresh}?endpoint={s3_endpoint}&ordered=no")


class TestGcs(BackendConformance):
    @pytest.fixture
    def backend(self, gcs_endpoint: str, gcs_credential: Path, fresh: str) -> Backend:
        return open_backend(f"gs://bucket/{fresh}?endpoint={gcs_endpoint}&credential={gcs_credential}")


class TestAzure(BackendConformance):
    @pytest.fixture
    def backend(self, azure_endpoint: str, fresh: str) -> Backend:
        return open_backend(f"az://container/{fresh}?endpoint={azure_endpoint}")
