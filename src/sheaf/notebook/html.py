"""Build HTML for notebooks. Pure functions; all texts from users are escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["entries", "facts", "image", "paragraph", "size", "table", "text"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a header; values are shown as text."""
    head = "".join(f"<th style='text-align:left'>{escape(str(column))}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Return a table of names and values."""
    rows = "".join(f"<tr><th style='text-align:left'>{escape(name)}</th>{_cell(value)}</tr>" for name, value in pairs)
    return f"<table><tbody>{rows}</tbody></table>"


def paragraph(words: str) -> str:
    """Return a paragraph of text."""
    return f"<p>{escape(words)}</p>"


def text(content: str) -> str:
    """Return preformatted text."""
    return f"<pre>{escape(content)}</pre>"


def image(kind: str, data: str, title: str, height_px: int | None = None) -> str:
    """Return an image; ``data``: its bytes in base64."""
    height = f" height='{height_px}'" if height_px else ""
    return f"<img src='data:{escape(kind)};base64,{data}' title='{escape(title)}' alt='{escape(title)}'{height}>"


def size(count: float) -> str:
    """Return a number of bytes for people to read, such as ``1.5 MiB``."""
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"


def entries(rows: Sequence[tuple[str, str, int]], more: int) -> str:
    """Return a table of files (path, kind, bytes). ``more``: how many are not shown."""
    shown = table(
        ("path", "kind", "size"), ((path, kind, size(count) if kind == "file" else "") for path, kind, count in rows)
    )
    return shown + (paragraph(f"… and {more} more") if more else "")


def _cell(value: object) -> str:
    return f"<td style='text-align:left'>{escape(str(value))}</td>"
