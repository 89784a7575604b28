"""What an upload and a download tell while they run."""

from __future__ import annotations

import random
from pathlib import Path

import sheaf
from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.commit.writer import Writer
from sheaf.engine.manifest.tree import Tree
from sheaf.transfer.download.download import download
from sheaf.transfer.progress import Meter, ProgressState
from sheaf.transfer.upload import folder_options, store_folder

SIZE = 12 << 20


def test_a_big_file_is_counted_while_it_moves(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/big").write_bytes(random.Random(1).randbytes(SIZE))
    up: list[ProgressState] = []
    down: list[ProgressState] = []
    with sheaf.init("memory://", probe=False) as store:
        c = store.create_repo("faces").context
        with Writer(c.core, c.nodes, c.log, c.entry.id, "upload") as writer:
            counted = Meter(up.append, "upload", interval_s=0)
            stored = store_folder(writer.store, None, folder_options(c.core, None, tmp_path / "in"), counted)
            counted.finish()
            tree = Tree(c.nodes, stored.root)
            counted = Meter(down.append, "download", interval_s=0)
            counted.add_total(files=stored.files, size=stored.size)
            download(tree, Contents(c.core), tmp_path / "out", meter=counted)
    assert [state.bytes for state in up if 0 < state.bytes < SIZE]
    assert (up[-1].files, up[-1].bytes, up[-1].bytes_total) == (1, SIZE, SIZE)
    phases = list(dict.fromkeys(state.phase for state in up))
    assert phases == ["upload", "send", "manifest"]
    assert {(state.files_total, state.bytes_total) for state in down} == {(1, SIZE)}
    assert (down[-1].files, down[-1].bytes) == (1, SIZE)


def test_the_phases_of_an_upload_and_the_totals_of_a_download_are_told(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/small").write_bytes(b"small")
    up: list[ProgressState] = []
    down: list[ProgressState] = []
    with sheaf.init("memory://", probe=False) as store:
        repo = store.create_repo("faces")
        bundle = repo.upload(tmp_path / "in", message="small", progress=up.append).bundle
        bundle.download(tmp_path / "out", progress=down.append)
    assert list(dict.fromkeys(state.phase for state in up)) == ["upload", "send", "manifest"]
    assert [(state.files, state.bytes) for state in (up[-1], down[-1])] == [(1, 5), (1, 5)]
    assert {(state.files_total, state.bytes_total) for state in down} == {(1, 5)}
