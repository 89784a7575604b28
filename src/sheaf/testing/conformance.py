"""Tests for all backends. Subclass :class:`BackendConformance` and define a ``backend`` fixture.

    class TestMine(BackendConformance):
        @pytest.fixture
        def backend(self):
            return MyBackend(...)          # empty

Requires pytest. The cases are those of ``sheaf store torture``: ``sheaf.torture.suite``. The memory backend is the
reference for everything that they do not test.
"""

from __future__ import annotations

from typing import ClassVar

import pytest

from sheaf.storage.port import Backend
from sheaf.torture.suite import CASES, Case
from sheaf.torture.trial import Scale, Trial

__all__ = ["BackendConformance"]


class BackendConformance:
    """The tests; ``scale`` adapts them to slow or limited stores."""

    scale: ClassVar[Scale] = Scale()

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test(self, backend: Backend, case: Case) -> None:
        case.run(Trial(backend, self.scale))
