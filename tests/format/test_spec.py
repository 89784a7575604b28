"""docs/format/v1.md says what the code does: its tables, constants and examples are read and compared."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from tests.compat import independent_format

from sheaf.engine.commit import diamonds
from sheaf.engine.core_limits import DEFAULT
from sheaf.engine.log import record_log
from sheaf.engine.sessions import forwarding
from sheaf.format import (
    encrypted_v1,
    envelope,
    keys,
    keyslot_v1,
    limits,
    node_columns_v1,
    node_v1,
    pack_v1,
    recipe_v1,
    record_v1,
    replica_v1,
    session_v1,
    store_v1,
)
from sheaf.format.index_v1 import IndexHeader
from sheaf.format.limits import LIMITS, OTHER, limit_of
from sheaf.format.moved_v1 import MovedHeader
from sheaf.format.node_v1 import CHILDREN, ROWS
from sheaf.model import names
from sheaf.model import records as model
from sheaf.model.ids import ksuid
from sheaf.storage.port import LARGEST

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "docs" / "format" / "v1.md").read_text()
VECTORS = json.loads((ROOT / "tests" / "compat" / "golden" / "v1" / "vectors.json").read_text())
GOLDEN = ROOT / "tests" / "compat" / "golden" / "v1" / "store"


def tables(*header: str) -> Iterator[list[list[str]]]:
    """The rows of every table with these headings (the first ones of it), cell by cell."""
    for block in re.findall(r"(?:^\|.*\n)+", SPEC, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        if tuple(rows[0][: len(header)]) == header:
            yield rows[2:]


def quoted(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]*)`", text)


def section(title: str) -> str:
    """The text below a heading, up to the next one of any level."""
    return re.split(r"^#+ ", SPEC.split(f" {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


EXAMPLES = [
    (form, name, text)
    for name, form, text in re.findall(r"^<!-- example: (.+) -->\n```(\w+)\n((?:.*\n)*?)```$", SPEC, re.MULTILINE)
]


def test_there_are_examples_of_everything_that_has_a_vector() -> None:
    assert {name for _, name, _ in EXAMPLES} == set(VECTORS["objects"])


@pytest.mark.parametrize(("form", "name", "text"), EXAMPLES, ids=[name for _, name, _ in EXAMPLES])
def test_examples_are_the_golden_vectors(form: str, name: str, text: str) -> None:
    recorded = VECTORS["objects"][name]
    assert (text if form == "json" else re.sub(r"\s", "", text)) == recorded


CODE: dict[str, int] = {
    "STATE_BYTES": record_log._SMALL,
    "PAGE_RECORDS": record_v1.PAGE_RECORDS,
    "MAX_CHUNK": store_v1.MAX_CHUNK,
    "PACK_BYTES": DEFAULT.pack_bytes,
    "PACK_CHUNKS": DEFAULT.pack_chunks,
    "MIN_PART": recipe_v1.MIN_PART,
    "MAX_PART": recipe_v1.MAX_PART,
    "MIN_ROWS": limits.MIN_ROWS,
    "MAX_ROWS": limits.MAX_ROWS,
    "MAX_WEIGHT": limits.MAX_WEIGHT,
    "MIN_CHILDREN": limits.MIN_CHILDREN,
    "MAX_CHILDREN": limits.MAX_CHILDREN,
    "MAX_HOPS": forwarding._HOPS,
    "MASK_S": independent_format.MASK_S,
    "MASK_L": independent_format.MASK_L,
}


def test_constants() -> None:
    (rows,) = tables("constant", "value")
    assert {quoted(name)[0]: int(value, 0) for name, value, _ in rows} == CODE
    used = set(re.findall(r"`([A-Z]+_[A-Z]+)`", SPEC)) | set(re.findall(r"MASK_[SL]", SPEC))
    assert used == set(CODE)


def test_limits() -> None:
    (rows,) = tables("begins with", "most bytes")
    said = {name: int(most) for names, most in rows for name in quoted(names)}
    assert said.pop("repos/<repo>/log/") == limit_of(keys.log_record(keys.repo(ksuid(1_700_000_000, bytes(16))), 7))
    assert {int(most) for names, most in rows if "all others" in names} == {OTHER, limit_of("new/kind"), LARGEST}
    assert said == LIMITS == {key: limit_of(f"{key}x" if key.endswith("/") else key) for key in LIMITS}


def _type(field: pa.Field) -> str:
    return "list<struct<pack, live>>" if pa.types.is_list(field.type) else str(field.type)


@pytest.mark.parametrize(("number", "schema"), [(0, ROWS), (1, CHILDREN)], ids=["leaf", "inner"])
def test_columns(number: int, schema: pa.Schema) -> None:
    rows = list(tables("column", "type"))[number]
    assert [(quoted(row[0])[0], row[1]) for row in rows] == [(field.name, _type(field)) for field in schema]


def _operations(union: Any) -> dict[str, list[str]]:
    return {op.__struct_config__.tag: list(op.__struct_fields__) for op in typing.get_args(union)}


def test_operations() -> None:
    repo, store = tables("op", "fields")
    for rows, union in ((repo, model.RepoOp), (store, model.StoreOp)):
        assert {quoted(row[0])[0]: quoted(row[1]) for row in rows} == _operations(union)


STRUCTS: dict[str, type[msgspec.Struct]] = {
    "session": session_v1.Session,
    "erased": session_v1.Notice,
    "erasing": session_v1.Erasing,
    "damaged": session_v1.Damage,
    "receipt": session_v1.Receipt,
    "run-start": session_v1.RunStart,
    "run-end": session_v1.RunEnd,
    "diamond": diamonds.DiamondStart,
    "diamond-end": diamonds.DiamondEnd,
    "split": diamonds.SplitStart,
    "split-done": diamonds.SplitDone,
    "replica": replica_v1.ReplicaNotice,
    "behind": replica_v1.Behind,
    "key": keyslot_v1.KeySlot,
}


def test_sealed_json() -> None:
    found = {quoted(row[0])[0]: quoted(row[1]) for table in tables("kind", "fields") for row in table}
    found |= {quoted(row[1])[0]: quoted(row[2]) for table in tables("key", "kind", "fields") for row in table}
    assert found == {kind: list(struct.__struct_fields__) for kind, struct in STRUCTS.items()}
    record, config = (
        [quoted(row[0])[0] for row in table] for table in sorted(tables("field", "type"), key=len, reverse=True)
    )
    assert record == [*model.Record.__struct_fields__[:6], "state", "since", "delta"]
    assert config == list(store_v1.StoreConfig.__struct_fields__)
    kinds = quoted(section("2. Sealed JSON").split("Kinds are")[1])
    assert sorted(kinds) == sorted({"store", "record", *STRUCTS})


@pytest.mark.parametrize(
    ("title", "structs"),
    [
        ("Operations of a repo's log", [model.BundleRecord, model.Root, model.RepoState, model.RefTarget]),
        ("Operations of the store's log", [model.StoreState, model.RepoEntry]),
        ("4. `sheaf.json`", [store_v1.Chunker]),
        ("7. Packs", [pack_v1.PackHeader]),
        ("Recipes", [recipe_v1.PartHeader]),
        ("8. The dedup index", [IndexHeader]),
        ("9. Manifests", [node_columns_v1.NodeHeader]),
        ("5. Logs", [record_v1.PageHeader]),
        ("15. Encryption", [keyslot_v1.KeySlot, keyslot_v1.Work]),
        (
            "10. Sessions, garbage collection, erasure",
            [session_v1.CondemnedHeader, MovedHeader, session_v1.ErasedFile],
        ),
    ],
)
def test_every_field_is_explained_where_it_belongs(title: str, structs: list[type[msgspec.Struct]]) -> None:
    explained = set(quoted(section(title)))
    for struct in structs:
        assert set(struct.__struct_fields__) - {"author"} <= explained, struct


def test_envelopes() -> None:
    (rows,) = tables("letter", "kind", "sealed")
    assert {quoted(row[0])[0] for row in rows if row[2] == "yes"} == envelope.SEALED_KINDS
    sources = "".join(path.read_text() for path in (ROOT / "src" / "sheaf" / "format").glob("*.py"))
    letters = set(re.findall(r'encode_envelope\("(\w)"', sources))
    assert {quoted(row[0])[0] for row in rows} == letters
    assert b"".join(sorted(letter.encode() for letter in envelope.SEALED_KINDS)) == independent_format.SEALED


def _patterns() -> list[re.Pattern[str]]:
    parts = {"h2": "[0-9a-f]{2}", "hash": "[0-9a-f]{64}", "pack": "[0-9a-f]{64}", "level": "[0-9]+"}
    parts |= {
        "h16": "[0-9a-f]{16}",
        "d12": "[0-9]{12}",
        "d15": "[0-9]{15}",
        "p12": "[0-9]{12}",
        "content": "[0-9a-f]{64}",
        "key": "(?:packs|nodes|objects)/[0-9a-f]{2}/[-0-9A-Za-z]+",
    }
    (rows,) = tables("key", "object")
    patterns = []
    for row in rows:
        for key in quoted(row[0]):
            text = re.sub(r"<(\w+)>", lambda m: parts.get(m[1], "[0-9A-Za-z]{27}"), re.escape(key).replace("…", ".+"))
            patterns.append(re.compile(text))
    return patterns


def test_every_key_of_the_golden_store_is_listed() -> None:
    keys = [str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file()]
    patterns = _patterns()
    for key in keys:
        assert [pattern.pattern for pattern in patterns if pattern.fullmatch(key)].__len__() == 1, key
    unused = {p.pattern for p in patterns if not any(p.fullmatch(key) for key in keys)}
    assert len(unused) == 6, unused  # pages of both logs, notes on replicas, and what is reserved


def test_names_that_are_none() -> None:
    text = section("Operations of a repo's log")
    assert set(names.REF_FORMS) <= set(quoted(text.split("Label and branch names")[1]))


def test_the_hashes_are_introduced_by_what_the_document_says() -> None:
    said = set(re.findall(r"`(sheaf [a-z ]+ 1)`", SPEC))
    code = "".join(map(inspect.getsource, (node_v1, pack_v1, encrypted_v1, keyslot_v1)))
    assert said == set(re.findall(r'b"(sheaf [a-z ]+ 1)\\n"', code))
