"""Previews of files: an image, the first rows of a table, the beginning of a text."""

from __future__ import annotations

import base64
from pathlib import PurePosixPath

import pyarrow as pa
from pyarrow import csv, parquet

from sheaf.notebook import html
from sheaf.repo.bundle import Bundle
from sheaf.repo.values import Entry

__all__ = ["IMAGES", "is_image", "picture", "preview"]

#: Media types by suffix of images that browsers show and that can't contain scripts.
IMAGES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
}
_ROWS = 10
_TEXT = 4000  # bytes of a text that are shown
_HEAD = 1 << 20  # bytes of a text table that are read
_PICTURE = 8 << 20  # size in bytes of the largest image that is shown


def preview(bundle: Bundle, path: str) -> str:
    """Return a file, or the listing of a folder, as HTML. Raises NotFound."""
    entry = bundle.entry(path) if path else None
    if entry is None or entry.kind == "folder":
        found = list(bundle.ls(path))
        return html.entries([(each.path, each.kind, each.size) for each in found[:100]], len(found[100:]))
    title = f"{entry.path}, {html.size(entry.size)}"
    if entry.kind == "symlink":
        return html.paragraph(f"{entry.path} → {entry.target}")
    return html.paragraph(title) + _content(bundle, entry)


def is_image(entry: Entry, limit: int = _PICTURE) -> bool:
    """True if a file is an image of at most so many bytes."""
    return entry.kind == "file" and entry.size <= limit and _suffix(entry.path) in IMAGES


def picture(bundle: Bundle, entry: Entry, height_px: int | None = None) -> str:
    """Return an image as HTML."""
    data = base64.b64encode(bundle.read(entry.path)).decode()
    return html.image(IMAGES[_suffix(entry.path)], data, entry.path, height_px)


def _content(bundle: Bundle, entry: Entry) -> str:
    if is_image(entry):
        return picture(bundle, entry)
    try:
        match _suffix(entry.path):
            case ".parquet":
                return _parquet(bundle, entry)
            case ".csv":
                return _table(csv.read_csv(pa.BufferReader(_lines(bundle, entry))))
            case ".tsv":
                options = csv.ParseOptions(delimiter="\t")
                return _table(csv.read_csv(pa.BufferReader(_lines(bundle, entry)), parse_options=options))
    except pa.ArrowException:
        # The content doesn't match the suffix of the file.
        pass
    return _beginning(bundle.read(entry.path, 0, _TEXT))


def _parquet(bundle: Bundle, entry: Entry) -> str:
    with bundle.open(entry.path) as stream:
        file = parquet.ParquetFile(stream)
        first = next(file.iter_batches(batch_size=_ROWS), None)
        shown = pa.Table.from_batches([first] if first is not None else [], file.schema_arrow)
        return _table(shown) + html.paragraph(f"{file.metadata.num_rows} rows")


def _lines(bundle: Bundle, entry: Entry) -> bytes:
    """Return complete lines from the beginning of a file."""
    head = bundle.read(entry.path, 0, _HEAD)
    return head if entry.size <= _HEAD else head[: head.rfind(b"\n") + 1]


def _table(shown: pa.Table) -> str:
    rows = shown.slice(0, _ROWS).to_pylist()
    return html.table(shown.column_names, ([row[name] for name in shown.column_names] for row in rows))


def _beginning(head: bytes) -> str:
    if b"\0" in head:
        return html.text(head[:256].hex(" ", 2))
    return html.text(head.decode(errors="replace"))


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()
