"""The profiles: their workloads, the sizes of these, and how often they run."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["FULL", "MORE", "PROFILES", "QUICK", "TINY", "Profile"]

KiB, MiB, GiB = 1 << 10, 1 << 20, 1 << 30

_POWERS = tuple(KiB << n for n in range(13))  # 1 KiB to 4 MiB
#: Sizes on both sides of the smallest chunk (16 KiB) are measured beside the powers of two.
_SWEEP = tuple(sorted({*_POWERS, 15 * KiB, 17 * KiB}))


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes in bytes or numbers of files.

    ``workloads``: the names of those that run unless others are asked for; empty: all. ``rounds``: runs of Sheaf and of
    the peers that targets name; slow peers run once.
    """

    name: str
    workloads: tuple[str, ...]
    minutes: int
    space_bytes: int
    rounds: int
    startups: int
    slow_peers: bool
    # S1 to S8
    mixed_files: int
    unchanged_files: int
    source_files: int
    image_files: int
    equal_files: int
    sweep_sizes: tuple[int, ...]
    sweep_bytes: int
    sweep_files: int
    stream_bytes: int
    table_versions: int
    requested_files: int
    # W1 to W13, M1, M2 and real
    small_files: int
    big_bytes: int
    edited_bytes: int
    tensor_bytes: int
    checkpoints: int
    versions: int
    entries: int
    remote_files: int
    counted: tuple[int, ...]
    memory_files: int
    memory_entries: int
    real_files: int


FULL = Profile(
    name="full",
    workloads=("S1", "S1-unchanged", "S2", "S3", "S4", "S4-sweep", "S5-S6", "S6", "S7", "S8"),
    minutes=60,
    space_bytes=20 * GiB,
    rounds=3,
    startups=15,
    slow_peers=True,
    mixed_files=60_000,
    unchanged_files=300_000,
    source_files=24_000,
    image_files=6_000,
    equal_files=9_000,
    sweep_sizes=_SWEEP,
    sweep_bytes=128 * MiB,
    sweep_files=8_192,
    stream_bytes=2 * GiB,
    table_versions=15,
    requested_files=5_000,
    small_files=100_000,
    big_bytes=4 * GiB,
    edited_bytes=512 * MiB,
    tensor_bytes=256 * MiB,
    checkpoints=10,
    versions=30,
    entries=1_000_000,
    remote_files=10_000,
    counted=(1_000, 1_000_000),
    memory_files=100_000,
    memory_entries=1_000_000,
    real_files=30_000,
)
MORE = replace(
    FULL,
    name="more",
    workloads=(
        "W1-W2-W3-W4", "W5", "W6", "W7", "W8", "W9", "W10", "W11", "W12", "W13", "M1", "M2", "real",
    ),
)  # fmt: skip
QUICK = replace(
    FULL,
    name="quick",
    workloads=("S1", "S2", "S3", "S4", "S5-S6", "S7"),
    minutes=3,
    space_bytes=3 * GiB,
    rounds=1,
    startups=5,
    slow_peers=False,
    mixed_files=6_000,
    unchanged_files=20_000,
    source_files=3_000,
    image_files=500,
    equal_files=1_000,
    sweep_sizes=_SWEEP[::4],
    sweep_bytes=16 * MiB,
    sweep_files=1_000,
    stream_bytes=192 * MiB,
    table_versions=4,
    requested_files=500,
    small_files=10_000,
    big_bytes=256 * MiB,
    edited_bytes=128 * MiB,
    tensor_bytes=48 * MiB,
    checkpoints=4,
    versions=10,
    entries=100_000,
    remote_files=2_000,
    counted=(1_000, 100_000),
    memory_files=20_000,
    memory_entries=100_000,
    real_files=3_000,
)
#: For the tests of the harness itself: its figures mean nothing.
TINY = replace(
    QUICK,
    name="tiny",
    workloads=(),
    minutes=2,
    space_bytes=256 * MiB,
    startups=2,
    mixed_files=200,
    unchanged_files=1_000,
    source_files=100,
    image_files=20,
    equal_files=40,
    sweep_sizes=(4 * KiB, 64 * KiB),
    sweep_bytes=MiB,
    sweep_files=20,
    stream_bytes=3 * MiB,
    table_versions=2,
    requested_files=50,
    small_files=300,
    big_bytes=3 * MiB,
    edited_bytes=2 * MiB,
    tensor_bytes=2 * MiB,
    checkpoints=2,
    versions=3,
    entries=5_000,
    remote_files=100,
    counted=(1_000,),
    memory_files=300,
    memory_entries=5_000,
    real_files=200,
)
PROFILES = {profile.name: profile for profile in (FULL, MORE, QUICK, TINY)}
