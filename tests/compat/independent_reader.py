"""Reads a store by docs/format/v1.md with pyarrow, zstandard and blake3 only, and checks every hash on the way.

python -m tests.compat.independent_reader STORE            what is in it, as JSON
python -m tests.compat.independent_reader STORE BUNDLE DIR write a bundle out
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import zstandard
from tests.compat.independent_format import (
    CHUNK,
    ELSEWHERE,
    EXTERNAL,
    FILE,
    FOLDER,
    NO_PLACE,
    OBJECT,
    RECIPE,
    SYMLINK,
    Part,
    Row,
    b3,
    common_folder,
    cut_inner,
    cut_leaves,
    cut_parts,
    demand,
    external_content,
    inner_hashes,
    leaf_hashes,
    open_envelope,
    order,
    read_moved,
    read_node,
    read_pack,
    read_part,
    unframe,
    unseal,
)

Json = dict[str, Any]
LAST = 10**15 - 1


def merged(target: Any, change: Any) -> Any:
    """RFC 7396."""
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def below(prefix: str, path: str) -> str:
    """A path that is relative to a prefix."""
    return f"{prefix}/{path}" if prefix and path else prefix or path


class Log:
    """One log of a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, n: int) -> Json:
        """Record n."""
        digits = f"{LAST - n:015}"
        record = unseal((self.folder / "log" / digits[:12] / f"{digits}.json").read_bytes(), "record")
        demand(record["n"] == n, "number of record")
        return record

    @cached_property
    def newest(self) -> int:
        """The number of the newest record, -1 if there is none."""
        names = [path.stem for path in self.folder.glob("log/*/*.json")]
        return LAST - int(min(names)) if names else -1

    @property
    def state(self) -> Json:
        """What the log adds up to, by its newest record."""
        if self.newest < 0:
            return {}
        return self._state_after(self.newest, deltas=2)

    def _state_after(self, n: int, deltas: int) -> Json:
        record = self.record(n)
        if "state" in record:
            return dict(record["state"])
        demand(deltas > 0 and record["since"] < n, "way to a checkpoint")
        return dict(merged(self._state_after(record["since"], deltas - 1), record["delta"]))

    def records(self) -> Iterator[Json]:
        """All records in order; each names the one before, and complete thousands are in a page as well."""
        before = ""
        for n in range(self.newest + 1):
            record = self.record(n)
            demand(record["prev"] == before, "chain of records")
            before = record["write"]
            yield record
        for page in sorted(self.folder.glob("pages/*")):
            self._check_page(page)

    def _check_page(self, path: Path) -> None:
        k = 10**12 - 1 - int(path.name)
        header, payload, _ = open_envelope(path.read_bytes(), b"L")
        lines = zstandard.ZstdDecompressor().decompress(payload)
        demand(header["first"] == 1000 * k and len(lines) == header["size"], "page")
        for i, line in enumerate(lines.splitlines()):
            record = self.record(1000 * k + i)
            for field in ("state", "since", "delta"):
                record.pop(field, None)
            demand(json.loads(line) == record, "record in page")


class Store:
    """A store in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = unseal((root / "sheaf.json").read_bytes(), "store")
        demand(self.config["hash"] == "blake3", "hash of store")
        self.log = Log(root)
        demand(set(self.log.state.get("read_features", ())) <= {"encryption"}, "features")  # see independent_decrypt
        self._packs: dict[bytes, dict[int, tuple[bytes, int]]] = {}
        self._parts: dict[bytes, tuple[int, list[Part]]] = {}

    def repo_log(self, id: str) -> Log:
        """The log of a repo."""
        return Log(self.root / "repos" / id)

    def bundles(self, repo: str) -> dict[str, Json]:
        """The bundles of a repo that were not deleted, in the order of their commits."""
        found: dict[str, Json] = {}
        gone: set[str] = set()
        for record in self.repo_log(repo).records():
            for op in record["ops"]:
                if op["op"] == "add-bundle":
                    found[op["bundle"]["id"]] = op["bundle"]
                elif op["op"] == "delete-bundle":
                    gone.add(op["bundle"])
                elif op["op"] == "restore-bundle":
                    found[op["bundle"]["id"]] = op["bundle"]
                    gone.discard(op["bundle"]["id"])
                elif op["op"] == "redact-bundle":
                    before = found[op["bundle"]]
                    demand(before["root"]["id"] == op["expect"], "root that is replaced")
                    found[op["bundle"]] = before | {"root": op["root"], "redacted": op["session"]}
        return {id: bundle for id, bundle in found.items() if id not in gone}

    # -- manifests -----------------------------------------------------------------------------------------------------

    def rows(self, bundle: Json) -> list[Row]:
        """The rows of a bundle with absolute folders; every hash, count, order and cut is checked."""
        root = bundle["root"]
        demand((bundle["version"] == root["logical"]) != bool(bundle.get("redacted")), "version")
        pointer: Row = {name: root[name] for name in ("length", "rows", "size")}
        pointer |= {name: bytes.fromhex(root[name]) for name in ("id", "logical", "full")}
        rows = [row for leaf in self._leaves(pointer, root["level"], "", last=True) for row in leaf]
        keys = [order(row["folder"], row["name"]) for row in rows]
        demand(all(a < b for a, b in pairwise(keys)), "order of rows")
        folders = {below(row["folder"], row["name"]) for row in rows if row["kind"] == FOLDER}
        demand(all(row["folder"] in folders for row in rows if row["folder"]), "folder without a row")
        demand(bundle["files"] == sum(row["kind"] != FOLDER for row in rows), "number of files")
        return rows

    def _leaves(self, pointer: Row, level: int, prefix: str, *, last: bool) -> Iterator[list[Row]]:
        id = pointer["id"].hex()
        data = (self.root / "nodes" / id[:2] / id).read_bytes()
        demand(b3(data) == pointer["id"] and len(data) == pointer["length"], "node")
        rows = read_node(data, level)
        demand(sum(row["size"] for row in rows) == pointer["size"], "size of node")
        if not level:
            demand(leaf_hashes(rows) == (pointer["logical"], pointer["full"]), "hashes of leaf")
            demand(len(rows) == pointer["rows"], "rows of leaf")
            demand(cut_leaves(rows) in ([len(rows), 0], [len(rows)] if last else []), "end of leaf")
            demand(common_folder([row["folder"] for row in rows]) == "", "prefix of leaf")
            yield [row | {"folder": below(prefix, row["folder"])} for row in rows]
            return
        demand(inner_hashes(level, rows) == (pointer["logical"], pointer["full"]), "hashes of inner node")
        demand(sum(row["rows"] for row in rows) == pointer["rows"], "rows of inner node")
        demand(cut_inner(rows) in ([len(rows), 0], [len(rows)] if last else []), "end of inner node")
        demand(common_folder([row["prefix"] for row in rows]) == "", "prefix of inner node")
        for i, child in enumerate(rows):
            yield from self._child(child, level, prefix, last=last and i == len(rows) - 1)

    def _child(self, child: Row, level: int, prefix: str, *, last: bool) -> Iterator[list[Row]]:
        inside = below(prefix, child["prefix"])
        first = None
        for rows in self._leaves(child, level - 1, inside, last=last):
            first = first or (rows[0]["folder"], rows[0]["name"])
            if level == 1:
                self._check_packs(child, rows)
            yield rows
        demand(first == (below(prefix, child["folder"]), child["name"]), "first key of child")

    def _check_packs(self, child: Row, rows: list[Row]) -> None:
        uses: dict[bytes, int] = {}
        for row in rows:
            if row["place"] == CHUNK:
                uses[row["pack"]] = uses.get(row["pack"], 0) + row["stored"]
            for use in row["packs"] or ():
                uses[use["pack"]] = uses.get(use["pack"], 0) + use["live"]
            if row["place"] == OBJECT:
                uses[b3(self._object(row).encode())] = row["size"]
        demand({use["pack"]: use["live"] for use in child["packs"]} == uses, "packs of leaf")

    # -- files ---------------------------------------------------------------------------------------------------------

    def blocks(self, row: Row) -> Iterator[bytes]:
        """The bytes of a file, in order."""
        if row["place"] == CHUNK:
            yield self.chunk(row["content"], row["pack"], row["offset"], row["stored"])
        elif row["place"] == OBJECT:
            yield (self.root / self._object(row)).read_bytes()
        elif row["place"] == RECIPE:
            parts = list(self._recipe(row))
            demand(
                [len(part) for part in cut_parts([r for part in parts for r in part])] == list(map(len, parts)), "cuts"
            )
            for part in parts:
                for piece in part:
                    block = self.chunk(piece.hash, piece.pack, piece.offset, piece.stored)
                    demand(len(block) == piece.length, "length of chunk")
                    yield block
        else:
            demand(row["place"] == NO_PLACE and row["size"] == 0, "place")

    def _recipe(self, row: Row) -> Iterator[list[Part]]:
        level, rows = self._part(row["recipe"], row["pack"], row["offset"], row["stored"])
        if level == 0:
            yield rows
            return
        for part in rows:
            below_level, pieces = self._part(part.hash, part.pack, part.offset, part.stored)
            demand(below_level == 0 and sum(piece.length for piece in pieces) == part.length, "part of recipe")
            yield pieces

    def _part(self, hash: bytes, pack: bytes, offset: int, stored: int) -> tuple[int, list[Part]]:
        if hash not in self._parts:
            self._parts[hash] = read_part(self.chunk(hash, pack, offset, stored))
        return self._parts[hash]

    @staticmethod
    def _object(row: Row) -> str:
        content = row["content"].hex()
        return f"objects/{content[:2]}/{row['url']}-{content}"

    def chunk(self, hash: bytes, pack: bytes, offset: int, stored: int) -> bytes:
        """A chunk by its place, wherever its pack has gone."""
        for _ in range(9):
            id = pack.hex()
            path = self.root / "packs" / id[:2] / id
            if path.exists():
                if pack not in self._packs:
                    self._packs[pack] = read_pack(path.read_bytes(), pack)
                demand(self._packs[pack].get(offset) == (hash, stored), "place of chunk")
                with path.open("rb") as file:
                    file.seek(offset)
                    return unframe(file.read(stored))
            newest = min((self.root / "moved" / id[:2] / id).iterdir())
            place = read_moved(newest.read_bytes())[offset]
            demand(place is not None, "erased chunk in a live bundle")
            assert place is not None
            pack, offset, stored = place
        raise AssertionError("too many hops")

    def entry(self, row: Row) -> Json:
        """What is at a path, after reading all of it."""
        kind = ("file", "symlink", "folder", "external")[row["kind"]]
        found: Json = {"kind": kind, "mode": row["mode"], "mtime": row["mtime"], "size": row["size"]}
        if row["attrs"]:
            found["attrs"] = json.loads(row["attrs"])
        if row["kind"] == SYMLINK:
            target = row["target"].encode()
            demand(b3(target) == row["content"] and len(target) == row["size"], "target")
            found["target"] = row["target"]
        elif row["kind"] == FOLDER:
            demand(row["content"] == bytes(32) and row["size"] == 0, "folder")
        elif row["place"] == ELSEWHERE:
            found |= {"url": row["url"], "etag": row["etag"]}
            if row["kind"] == EXTERNAL:
                demand(external_content(row["url"], row["size"], row["etag"] or "") == row["content"], "external")
        else:
            demand(row["kind"] == FILE, "kind")
            data = b"".join(self.blocks(row))
            demand(b3(data) == row["content"] and len(data) == row["size"], "content")
        return found | {"content": row["content"].hex(), "place": row["place"]}

    def everything(self) -> Json:
        """All that the store holds."""
        repos = {}
        for id, repo in self.log.state.get("repos", {}).items():
            state = self.repo_log(id).state
            bundles = {}
            for bundle_id, bundle in self.bundles(id).items():
                rows = self.rows(bundle)
                entries = {below(row["folder"], row["name"]): self.entry(row) for row in rows}
                bundles[bundle_id] = {k: v for k, v in bundle.items() if k != "root"} | {"entries": entries}
            refs = {
                kind: {name: target["bundle"] for name, target in state.get(kind, {}).items()}
                for kind in ("labels", "branches")
            }
            named = {bundle for targets in refs.values() for bundle in targets.values()} | {state.get("latest")} - {
                None
            }
            demand(set(state.get("bundles", {})) == named, "descriptors in the state")
            for bundle, descriptor in state.get("bundles", {}).items():
                demand(descriptor == self.bundles(id)[bundle], "descriptor in the state")
            repos[id] = {"name": repo["name"], "deleted": bool(repo.get("deleted")), "bundles": bundles} | refs
        for _ in self.log.records():
            pass
        return {"id": self.config["id"], "repos": repos}

    def write(self, repo: str, bundle: str, folder: Path) -> None:
        """Write a bundle's files, links and folders out, with their modes and times."""
        rows = self.rows(self.bundles(repo)[bundle])
        for row in rows:
            path = folder / below(row["folder"], row["name"])
            if row["kind"] == FOLDER:
                path.mkdir(parents=True)
            elif row["kind"] == SYMLINK:
                path.symlink_to(row["target"])
            elif row["place"] != ELSEWHERE:
                with path.open("wb") as file:
                    file.writelines(self.blocks(row))
        for row in reversed(rows):
            path = folder / below(row["folder"], row["name"])
            if row["kind"] != SYMLINK and path.exists():
                path.chmod(row["mode"])
                os.utime(path, ns=(row["mtime"], row["mtime"]))


def main(arguments: list[str]) -> None:
    """The command line."""
    store = Store(Path(arguments[0]))
    if len(arguments) == 1:
        json.dump(store.everything(), sys.stdout, sort_keys=True)
        return
    bundle, folder = arguments[1:]
    for repo in store.log.state["repos"]:
        if bundle in store.bundles(repo):
            store.write(repo, bundle, Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
    demand("sheaf" not in sys.modules or sys.modules["sheaf"] is None, "this reader must not use Sheaf")
