"""Files fetched together: few requests whatever the sizes, and every file whole or named."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest
from tests.transfer.bundles import Item, Shelf

from sheaf.engine.chunks.bulk import gather
from sheaf.engine.chunks.bulk.gather import WHOLE, Gathering, PackRange, Span, is_gathered
from sheaf.engine.chunks.wants import FRAME
from sheaf.engine.manifest.tree import entry_at
from sheaf.errors import Corrupt, SheafError
from sheaf.format import keys
from sheaf.format.recipe_v1 import Row, decode_rows
from sheaf.model.entries import ChunkPlace, RecipePlace
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Buffer
from sheaf.storage.wrappers.count import Call, CountBackend

KiB = 1 << 10


def noise(size: int, seed: object) -> bytes:
    return random.Random(str(seed)).randbytes(size)


@dataclass(slots=True)
class Gatherer:
    """A bundle whose files are read together; requests are counted."""

    shelf: Shelf
    batch: pa.RecordBatch
    erased: list[str] = field(default_factory=list)
    damaged: dict[str, SheafError] = field(default_factory=dict)
    held: list[int] = field(default_factory=list)  # the bytes that were in memory at once

    @classmethod
    def of(cls, items: dict[str, Item]) -> Gatherer:
        shelf = Shelf(CountBackend(MemoryBackend()))
        (batch,) = pa.Table.from_batches(shelf.bundle(items).batches()).combine_chunks().to_batches()
        return cls(shelf, batch)

    def name(self, row: int) -> str:
        name: str = self.batch["name"][row].as_py()
        return name

    def read(self, *, report: bool = False) -> dict[str, bytes]:
        contents = self.shelf.contents
        told = (lambda row: self.erased.append(self.name(row)), self._lost) if report else ()
        found: dict[str, bytes] = {}
        for gathered in contents.gather(self.batch).results():
            self.held.append(sum(map(len, gathered.ranges)))
            for row, data in contents.gathered_files(self.batch, gathered, None, *told):
                assert self.name(row) not in found, "yielded once"
                found[self.name(row)] = bytes(data)
        return found

    def set(self, name: str, values: list[object]) -> None:
        """Replace a column."""
        at = self.batch.schema.get_field_index(name)
        field_ = self.batch.schema.field(at)
        self.batch = self.batch.set_column(at, field_, pa.array(values, field_.type))

    def _lost(self, row: int, error: SheafError) -> None:
        assert self.name(row) not in self.damaged, "named once"
        self.damaged[self.name(row)] = error

    @property
    def objects(self) -> dict[str, bytes]:
        objects: dict[str, bytes] = self.shelf.backend.inner._shelf.objects  # type: ignore[attr-defined]
        return objects

    def requests(self) -> int:
        backend = self.shelf.backend
        assert isinstance(backend, CountBackend)
        return sum(count for call, count in backend.requests.items() if call == Call("get_ranges", "packs"))

    def flip(self, row: int, *, chunk: bool = False) -> None:
        """Damage a byte of what a row names: its chunk or its recipe, or else a chunk that the recipe lists."""
        entry = entry_at(self.batch, row)
        assert isinstance(entry.place, ChunkPlace | RecipePlace)
        pack, offset = entry.place.pack, entry.place.offset
        if chunk:
            assert isinstance(entry.place, RecipePlace)
            _, _, pack, offset, _ = list(self.shelf.contents.leaves(entry, entry.place))[1]
        data = bytearray(self.objects[keys.pack(pack)])
        data[offset + 40] ^= 1
        self.objects[keys.pack(pack)] = bytes(data)


def rows_of(batch: pa.RecordBatch) -> dict[str, int]:
    return {name: i for i, name in enumerate(batch["name"].to_pylist())}


@pytest.mark.parametrize("size", [1 * KiB, 15 * KiB, 17 * KiB, 70 * KiB])
def test_requests_go_with_bytes_not_with_files(size: int) -> None:
    items: dict[str, Item] = {f"{i:04}": noise(size, i) for i in range(12 << 20 >> size.bit_length())}
    reading = Gatherer.of(items)
    before = reading.requests()
    assert reading.read() == items
    total = sum(map(len, items.values()))  # type: ignore[arg-type]
    assert reading.requests() - before <= 2 + total // (4 << 20)


def test_files_of_all_sizes_come_out_as_they_went_in() -> None:
    items: dict[str, Item] = {f"n{size}": noise(size, size) for size in (1, 999, 16_384, 16_385, 300_000, WHOLE)}
    items |= {f"t{size}": (b"some text %d " % size) * (size // 10) for size in (10, 20_000, 900_000)}
    items |= {"empty": b"", "large": noise(WHOLE + 1, "large")}
    reading = Gatherer.of(items)
    alone = {"empty", "large"}
    assert reading.read() == {name: item for name, item in items.items() if name not in alone}
    rows = rows_of(reading.batch)
    assert not is_gathered(reading.batch)[[rows[name] for name in alone]].any()


def test_chunks_that_are_shared_are_fetched_from_where_they_are() -> None:
    """The second file shares all chunks but the last with the first, far away from its recipe."""
    first = noise(600_000, 1)
    fill: dict[str, Item] = {f"fill{i:02}": noise(500_000, i + 10) for i in range(20)}
    items: dict[str, Item] = {"a": first} | fill | {"z": first[:500_000] + noise(50_000, 2)}
    reading = Gatherer.of(items)
    assert reading.read() == items


def test_bytes_beside_what_is_wanted_are_not_fetched() -> None:
    """The stored bytes of a file are known from its row, so text is not assumed to be stored ten times as long."""
    text: dict[str, Item] = {f"{i:02}": b"".join(b"%d %d\n" % (i, k) for k in range(60_000)) for i in range(12)}
    reading = Gatherer.of({**text})
    reading.batch = reading.batch.take(pa.array([5]))
    backend = reading.shelf.backend
    assert isinstance(backend, CountBackend)
    backend.reset()
    assert reading.read() == {"05": text["05"]}
    live = sum(use["live"] for use in reading.batch["packs"][0].as_py())
    assert backend.tally("packs").bytes_in <= live + 64 * KiB


def test_rows_without_their_packs_are_read_all_the_same() -> None:
    items: dict[str, Item] = {f"{i}": noise(100_000, i) for i in range(20)}
    reading = Gatherer.of(items)
    at = reading.batch.schema.get_field_index("packs")
    field_ = reading.batch.schema.field(at)
    reading.batch = reading.batch.set_column(at, field_, pa.nulls(reading.batch.num_rows, field_.type))
    assert reading.read() == items


# -- what is damaged or gone -------------------------------------------------------------------------------------------


def sound(items: dict[str, Item], bad: set[str]) -> dict[str, Item]:
    return {name: item for name, item in items.items() if name not in bad}


@pytest.mark.parametrize(
    ("where", "message"), [("chunk", "damaged"), ("recipe", "damaged"), ("chunk of many", "damaged")]
)
def test_only_damaged_files_are_named(where: str, message: str) -> None:
    items: dict[str, Item] = {f"s{i}": noise(3_000, i) for i in range(50)}
    items |= {f"m{i}": noise(400_000, i) for i in range(9)}
    reading = Gatherer.of(items)
    bad = {"chunk": "s7", "recipe": "m7", "chunk of many": "m8"}[where]
    reading.flip(rows_of(reading.batch)[bad], chunk=where == "chunk of many")
    assert reading.read(report=True) == sound(items, {bad})
    assert set(reading.damaged) == {bad}
    assert message in str(reading.damaged[bad])
    with pytest.raises(Corrupt, match=message):
        reading.read()


def test_files_of_a_lost_pack_are_named() -> None:
    items: dict[str, Item] = {f"s{i}": noise(3_000, i) for i in range(5)}
    items["m"] = noise(400_000, "m")
    reading = Gatherer.of(items)
    for key in [key for key in reading.objects if key.startswith("packs/")]:
        del reading.objects[key]
    assert reading.read(report=True) == {}
    assert set(reading.damaged) | set(reading.erased) == set(items)


def _swap(name: str) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Exchange a column's values of two rows."""

    def change(batch: pa.RecordBatch) -> pa.RecordBatch:
        order = np.arange(batch.num_rows)
        order[[0, 1]] = 1, 0
        at = batch.schema.get_field_index(name)
        return batch.set_column(at, batch.schema.field(at), batch[name].take(pa.array(order)))

    return change


@pytest.mark.parametrize("column", ["content", "size"])
def test_a_recipe_of_another_file_is_refused(column: str) -> None:
    """All chunks are sound, but they are not this file."""
    items: dict[str, Item] = {"a": noise(100_000, 1), "b": noise(120_000, 2), "c": noise(90_000, 3)}
    reading = Gatherer.of(items)
    reading.batch = _swap(column)(reading.batch)
    assert reading.read(report=True) == {"c": items["c"]}
    assert set(reading.damaged) == {"a", "b"}
    assert all("manifest" in str(error) for error in reading.damaged.values())


def test_an_impossible_stored_length_is_named_and_not_fetched() -> None:
    items: dict[str, Item] = {"a": noise(3_000, 1), "b": noise(4_000, 2)}
    reading = Gatherer.of(items)
    at = reading.batch.schema.get_field_index("stored")
    stored = pa.array([1 << 31, reading.batch["stored"][1].as_py()], reading.batch.schema.field(at).type)
    reading.batch = reading.batch.set_column(at, reading.batch.schema.field(at), stored)
    assert reading.read(report=True) == {"b": items["b"]}
    assert "invalid stored size" in str(reading.damaged["a"])


# -- what it costs, whatever the manifest says -------------------------------------------------------------------------


def test_small_files_far_from_each_other_are_read_in_turns() -> None:
    """Without the gaps they would take a request each; with them they take much more memory than their contents."""
    items: dict[str, Item] = {}
    for i in range(700):
        items |= {f"{i:04}.jpg": noise(60_000, i), f"{i:04}.json": b"{%d}" % i}
    reading = Gatherer.of(items)
    reading.batch = reading.batch.filter(pa.array([name.endswith("json") for name in rows_of(reading.batch)]))
    before = reading.requests()
    assert reading.read() == {name: item for name, item in items.items() if name.endswith("json")}
    assert max(reading.held) <= 16 << 20
    assert len(reading.held) == 3
    assert reading.requests() - before <= 8


def test_chunks_elsewhere_are_fetched_in_turns() -> None:
    """The chunks of these files are those of another one, in the same pack but with much between them."""
    shared = [noise(300_000, i) for i in range(60)]
    items: dict[str, Item] = {"0": b"".join(shared)}
    items |= {f"a{i}": b"".join(shared[(i * 7 + k) % 60] for k in range(12)) for i in range(40)}
    reading = Gatherer.of(items)
    names = rows_of(reading.batch)
    reading.batch = reading.batch.take(pa.array([row for name, row in names.items() if name != "0"]))
    assert reading.read() == {name: item for name, item in items.items() if name != "0"}
    assert max(reading.held) <= 50 << 20


@pytest.mark.parametrize("live", [1 << 33, (1 << 63) - 1, -1, -(1 << 63), 0])
def test_impossible_bytes_of_a_file_in_its_pack(live: int) -> None:
    """They decide what is fetched with the recipe: too little only costs a second request, and too much nothing."""
    items: dict[str, Item] = {f"m{i}": noise(900_000, i) for i in range(30)}
    reading = Gatherer.of(items)
    uses = reading.batch["packs"].to_pylist()
    reading.set("packs", [[{**use, "live": live} for use in each] for each in uses])
    assert reading.read() == items
    assert max(reading.held) <= 40 << 20


@pytest.mark.parametrize("live", [1 << 33, (1 << 63) - 1])
def test_no_request_is_longer_than_a_span_and_a_frame(live: int) -> None:
    reading = Gatherer.of({f"m{i}": noise(400_000, i) for i in range(20)})
    uses = reading.batch["packs"].to_pylist()
    reading.set("packs", [[{**use, "live": live} for use in each] for each in uses])
    reading.set("offset", [(1 << 32) - 1 - i * 5_000_000 for i in range(20)])
    asked: list[PackRange] = []

    def fetch(each: PackRange) -> Future[Buffer | None]:
        asked.append(each)
        future: Future[Buffer | None] = Future()
        future.set_result(None)
        return future

    span = Span()
    turns = list(Gathering(reading.batch, fetch, span).results())
    assert sorted(row for turn in turns for row in turn.lost) == list(range(20))
    assert all(0 < each.end - each.start <= span.bytes + FRAME for each in asked)
    assert len(turns) > 1


def test_a_recipe_that_lists_more_bytes_than_its_file_has_is_not_followed() -> None:
    """Each chunk may be as long as a frame can be, and a recipe lists thousands of them."""
    items: dict[str, Item] = {"a": noise(200_000, 1), "b": noise(200_000, 2)}
    reading = Gatherer.of(items)
    unhurt = decode_rows

    def longer(data: bytes, what: str) -> list[Row] | None:
        rows = unhurt(data, what)
        return rows and [(*row[:4], FRAME) for row in rows]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "decode_rows", longer)
        assert reading.read() == items
    assert max(reading.held) <= 1 << 20


def test_frames_that_overlap_and_are_empty() -> None:
    items: dict[str, Item] = {f"s{i}": noise(3_000, i) for i in range(6)}
    reading = Gatherer.of(items)
    offset, stored = reading.batch["offset"].to_pylist(), reading.batch["stored"].to_pylist()
    stored[0], stored[1], offset[3] = FRAME, 0, offset[2]
    reading.set("stored", stored)
    reading.set("offset", offset)
    assert set(reading.read(report=True)) == {"s2", "s4", "s5"}
    assert set(reading.damaged) == {"s0", "s1", "s3"}
