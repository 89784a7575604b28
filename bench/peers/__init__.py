"""The contestants: a module for each family, an adapter for each program. A missing program is skipped with a note."""

from __future__ import annotations

from bench.peers.backup import BORG, CASYNC, RESTIC
from bench.peers.base import Peer, Workspace
from bench.peers.files import CP, RCLONE, TAR
from bench.peers.sheaf import SHEAF
from bench.peers.trackers import DVC, GIT_LFS, OXEN

__all__ = ["PEERS", "SHEAF", "Peer", "Workspace"]

PEERS: tuple[Peer, ...] = (SHEAF, CP, TAR, RESTIC, DVC, BORG, CASYNC, RCLONE, GIT_LFS, OXEN)
