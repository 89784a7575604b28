"""PyTorch: a dataset for DataLoader that distributes files over workers and ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from sheaf.errors import Unsupported
from sheaf.storage.storage_options import StorageOptions
from sheaf.training.source import BatchRequest, Source
from sheaf.transfer.batches import BUFFER, Position, Sample

try:
    from torch import distributed
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError as error:
    raise Unsupported("PyTorch is not installed", "pip install torch") from error

__all__ = ["SheafDataset"]


class SheafDataset(IterableDataset[Any]):
    """Batches of files for ``DataLoader(…, batch_size=None)``.

    The parts of ranks (of ``torch.distributed``, if initialized) and of a loader's workers are disjoint. Call
    :meth:`set_epoch` before each epoch for another order. :meth:`state_dict` returns the position of this process, as
    required by ``StatefulDataLoader`` of torchdata.

    Args:
        address: ``repo@ref``; the ref is resolved once, so that all processes use the same bundle.
        transform: converts a list of samples (path, data) to the value for the loop; by default the list itself.
        store: the URL of the store; None: the store of the command line.
        shard: (rank, world), by default those of ``torch.distributed``.
    """

    def __init__(
        self,
        address: str,
        glob: str = "**",
        batch: int = 256,
        *,
        transform: Callable[[list[Sample]], Any] | None = None,
        shuffle: int | None = None,
        shard: tuple[int, int] | None = None,
        buffer: int = BUFFER,
        workers: int = 2,
        drop_last: bool = False,
        store: str | None = None,
        options: StorageOptions | None = None,
    ) -> None:
        super().__init__()
        source = Source(address, store, options).pinned()
        self._wanted = BatchRequest(source, glob, batch, shuffle, buffer, workers, drop_last)
        self._transform = transform
        self._shard = shard
        self._epoch = 0
        self._position: Position | None = None

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which decides the order of a shuffled dataset."""
        self._epoch, self._position = epoch, None

    def state_dict(self) -> dict[str, Any]:
        """Return the position of this process as plain values."""
        return {"epoch": self._epoch, "position": asdict(self._position) if self._position else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a position."""
        self._epoch = state["epoch"]
        self._position = Position(**state["position"]) if state["position"] else None

    def __iter__(self) -> Iterator[Any]:
        with self._wanted.open(self._part(), self._position) as batches:
            if self._position is None:
                batches.start_epoch(self._epoch)
            for batch in batches:
                self._position = batches.position
                yield self._transform(batch) if self._transform else batch
            self._position = None

    def _part(self) -> tuple[int, int]:
        """Return the part of the files for this process: (index, number of parts), from rank and worker."""
        rank, world = self._shard or (0, 1)
        if self._shard is None and distributed.is_available() and distributed.is_initialized():
            rank, world = distributed.get_rank(), distributed.get_world_size()
        info = get_worker_info()
        return (rank, world) if info is None else (rank * info.num_workers + info.id, world * info.num_workers)
