"""How much is measured: the sizes of the workloads, and how often."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "PROFILES", "QUICK", "TINY", "Profile"]

MiB = 1 << 20


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes in bytes or numbers of files. ``rounds``: runs of Sheaf and of the peers that targets name; others run once."""

    name: str
    minutes: int
    space_bytes: int
    rounds: int
    small_files: int
    big_bytes: int
    edited_bytes: int
    tensor_bytes: int
    checkpoints: int
    versions: int
    entries: int
    startups: int
    remote_files: int
    counted: tuple[int, ...]
    memory_files: int
    memory_entries: int
    real_files: int
    slow_peers: bool


FULL = Profile(
    "full", 60, 20 << 30, 3, 100_000, 4096 * MiB, 512 * MiB, 256 * MiB, 10, 30, 1_000_000, 15, 10_000,
    (1_000, 1_000_000), 100_000, 1_000_000, 30_000, True,
)  # fmt: skip
QUICK = Profile(
    "quick", 3, 3 << 30, 1, 10_000, 256 * MiB, 128 * MiB, 48 * MiB, 4, 10, 100_000, 7, 2_000,
    (1_000, 100_000), 20_000, 100_000, 3_000, False,
)  # fmt: skip
#: For the tests of the harness itself: its figures mean nothing.
TINY = Profile(
    "tiny", 2, 1 << 28, 1, 300, 3 * MiB, 2 * MiB, 2 * MiB, 2, 3, 5_000, 2, 100, (1_000,), 300, 5_000, 200, False
)
PROFILES = {profile.name: profile for profile in (FULL, QUICK, TINY)}
