"""Golden vectors: this release and the specification make the same of the same input as when they were recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.compat import independent_format as spec
from tests.compat.vectors import CHUNKED, DATABASES, ID, PATHS, VECTORS, h

from sheaf.model.ids import ksuid

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "v1" / "vectors.json").read_text())


@pytest.mark.parametrize("name", sorted(DATABASES))
def test_the_specification_cuts_databases_alike(name: str) -> None:
    assert spec.database_lengths(DATABASES[name], 8192) == RECORDED["chunk lengths of databases"][name]


def test_every_vector_is_recorded() -> None:
    assert sorted(RECORDED) == sorted(VECTORS)


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_this_release_makes_the_recorded_vector(name: str) -> None:
    assert json.loads(json.dumps(VECTORS[name]())) == RECORDED[name]


@pytest.mark.parametrize("name", sorted(name for name in CHUNKED if not name.endswith("4000000")))
def test_the_specification_cuts_files_where_the_library_does(name: str) -> None:
    assert spec.chunk_lengths(CHUNKED[name]) == RECORDED["chunk lengths"][name]


def test_the_specification_names_packs_alike() -> None:
    assert [spec.pack_id(ID, n).hex() for n in (0, 1, 2**32 - 1)] == RECORDED["pack ids"]


def test_the_specification_hashes_leaves_alike() -> None:
    vector = RECORDED["leaf hashes"]
    rows = [row | {"content": bytes.fromhex(row["content"])} for row in vector["rows"]]
    assert [hash.hex() for hash in spec.leaf_hashes(rows)] == vector["hashes"]
    assert spec.external_content("s3://b/k", 7, '"tag"') == rows[2]["content"]


def test_the_specification_hashes_inner_nodes_alike() -> None:
    prefixes = ["", "d", "d/é", "d/é"]
    children: list[dict[str, Any]] = [
        {"prefix": p, "rows": 10 + n, "logical": h(20 + n), "full": h(30 + n)} for n, p in enumerate(prefixes)
    ]
    one = spec.inner_hashes(1, children)
    below = [child | {"prefix": child["prefix"][1:].lstrip("/")} for child in children[1:]]
    assert [[hash.hex() for hash in pair] for pair in (one, spec.inner_hashes(2, below))] == RECORDED["inner hashes"]


def test_the_specification_cuts_trees_alike() -> None:
    vector = RECORDED["tree of 60000 rows"]
    rows = [
        {"folder": "", "name": f"n{n:06}", "content": h(n), "kind": 0, "mode": 0, "mtime": 0, "size": 0, "place": 0}
        | dict.fromkeys(("target", "attrs", "url", "etag"))
        for n in range(60_000)
    ]
    assert spec.cut_leaves(rows) == vector["leaves"]
    children, at = [], 0
    for count in vector["leaves"]:
        logical, full = spec.leaf_hashes(rows[at : at + count])
        children.append({"prefix": "", "rows": count, "logical": logical, "full": full})
        at += count
    assert [hash.hex() for hash in spec.inner_hashes(1, children)] == [vector["logical"], vector["full"]]
    ends = [n for n in range(20_000) if spec.number(h(n)[:4]) % 1024 == 0]
    assert ends == RECORDED["inner cuts"]


def test_the_specification_orders_rows_alike() -> None:
    assert sorted(PATHS, key=lambda path: spec.order(*path.rpartition("/")[::2])) == RECORDED["order of rows"]


def test_the_specification_reads_the_recorded_objects() -> None:
    objects = RECORDED["objects"]
    store = spec.unseal(objects["store"].encode(), "store")
    assert store["chunker"] == {
        "name": "fastcdc-2020",
        "min": 16384,
        "avg": 65536,
        "max": 262144,
        "normalization": 1,
        "seed": 0,
        "sqlite": 8192,
    }
    assert spec.unseal(objects["record with its state"].encode(), "record")["state"] == {"count": 0}
    assert spec.unseal(objects["record with a delta"].encode(), "record")["since"] == 0
    assert spec.unseal(objects["record with a delta from a delta"].encode(), "record")["since"] == 1
    assert spec.unseal(objects["session"].encode(), "session")["id"] == ID
    frames = spec.read_pack(bytes.fromhex(objects["pack"]), spec.pack_id(ID, 7))
    assert [stored for _, stored in frames.values()] == [4, 6]
    level, parts = spec.read_part(bytes.fromhex(objects["part"]))
    assert (level, [part.pack for part in parts]) == (0, [h(100), h(101), h(100)])
    assert spec.read_moved(bytes.fromhex(objects["moved"])) == {40: (h(1), 48, 9), 80: None, 96: (h(2), 40, 5)}
    header, payload, _ = spec.open_envelope(bytes.fromhex(objects["condemned"]), b"C")
    assert (header["generation"], payload) == (ID, h(1) + h(2) + h(3))
    header, payload, _ = spec.open_envelope(bytes.fromhex(objects["index"]), b"I")
    assert sorted(next(spec.columns(payload[64:], [(32, 3)]))) == next(spec.columns(payload[64:], [(32, 3)]))


def test_ksuids() -> None:
    assert all(ksuid(seconds, bytes.fromhex(payload)) == text for seconds, payload, text in RECORDED["ksuids"])
