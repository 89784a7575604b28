"""What a failed write leaves of a large file is its beginning, so that the next attempt continues there."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from tests.transfer.bundles import Shelf

from sheaf.errors import NoSpace
from sheaf.storage.port import Buffer
from sheaf.transfer.download.download import download
from sheaf.transfer.download.files import large_file
from sheaf.transfer.download.files.sparse import write_sparse
from sheaf.transfer.local.scan import PARTIAL_SUFFIX


def test_nothing_is_written_after_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = random.Random(1).randbytes(20 << 20)
    shelf = Shelf()
    tree = shelf.bundle({"big": content})
    unhurt = write_sparse
    calls: list[int] = []

    def write(fd: int, block: Buffer) -> None:
        calls.append(len(block))
        if len(calls) == 3:
            raise OSError(28, os.strerror(28))
        unhurt(fd, block)

    monkeypatch.setattr(large_file, "write_sparse", write)
    with pytest.raises(NoSpace):
        download(tree, shelf.contents, tmp_path / "out")
    left = (tmp_path / f".out{PARTIAL_SUFFIX}" / "tree" / "big").read_bytes()
    assert left == content[: sum(calls[:2])]
    assert len(calls) == 3
    calls.extend([0] * 3)
    download(tree, shelf.contents, tmp_path / "out")
    assert (tmp_path / "out" / "big").read_bytes() == content
    assert sum(calls[6:]) == len(content) - len(left), "only the rest is written"
