"""What every backend must do. Subclass, give a ``backend`` fixture, inherit the tests.

    class TestMine(BackendConformance):
        @pytest.fixture
        def backend(self):
            return MyBackend(...)          # empty

Needs pytest. The cases are those that ``sheaf store torture`` runs: ``sheaf.torture.suite``. The memory backend is the
reference: where they are silent, it decides.
"""

from __future__ import annotations

from typing import ClassVar

import pytest

from sheaf.storage.port import Backend
from sheaf.torture.suite import CASES, Case
from sheaf.torture.trial import Scale, Trial

__all__ = ["BackendConformance"]


class BackendConformance:
    """The tests; ``scale`` bends them for slow or narrow stores."""

    scale: ClassVar[Scale] = Scale()

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test(self, backend: Backend, case: Case) -> None:
        case.run(Trial(backend, self.scale))
