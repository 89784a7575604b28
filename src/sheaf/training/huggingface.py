"""Hugging Face ``datasets``: the files of a bundle as an iterable dataset of paths and bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sheaf.errors import Unsupported
from sheaf.storage.storage_options import StorageOptions
from sheaf.training.source import BatchRequest, Source
from sheaf.transfer.batches import BUFFER

try:
    import datasets
except ImportError as error:
    raise Unsupported("Hugging Face datasets is not installed", "pip install datasets") from error

__all__ = ["iterable_dataset"]


def iterable_dataset(
    address: str,
    glob: str = "**",
    *,
    shuffle: int | None = None,
    shards: int = 1,
    buffer: int = BUFFER,
    workers: int = 2,
    store: str | None = None,
    options: StorageOptions | None = None,
) -> datasets.IterableDataset:
    """Return a streaming dataset with the columns ``path`` (string) and ``data`` (binary).

    Args:
        address: ``repo@ref``; the ref is resolved once.
        shards: the number of parts that the library may distribute to workers and nodes.
    """
    wanted = BatchRequest(Source(address, store, options).pinned(), glob, 64, shuffle, buffer, workers, False)
    features = datasets.Features({"path": datasets.Value("string"), "data": datasets.Value("binary")})
    arguments = {"wanted": wanted, "shards": [(rank, shards) for rank in range(shards)]}
    return datasets.IterableDataset.from_generator(_examples, features=features, gen_kwargs=arguments)


def _examples(wanted: BatchRequest, shards: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    for shard in shards:
        with wanted.open(shard) as batches:
            for batch in batches:
                yield from ({"path": sample.path, "data": sample.data} for sample in batch)
