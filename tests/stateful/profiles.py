"""How long the machines run: ``SHEAF_PROFILE`` is dev (the default), ci or nightly."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

PROFILES = {
    "dev": settings(max_examples=25, stateful_step_count=25),
    "ci": settings(max_examples=60, stateful_step_count=40),
    "nightly": settings(max_examples=3000, stateful_step_count=80),
}


def profile() -> settings:
    """The settings for a machine. No deadlines: how long a step takes says nothing about whether it is right."""
    chosen = PROFILES[os.environ.get("SHEAF_PROFILE", "dev")]
    return settings(chosen, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
