"""What is to be erased, as people name it: by content, or by a path of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sheaf.errors import InvalidInput
from sheaf.model.ids import parse_hash
from sheaf.model.refs import parse_address
from sheaf.repo.bundle import Bundle
from sheaf.repo.records import Entry

__all__ = ["contents_of"]

Named = str | Iterable[str]


def contents_of(
    find: Callable[[str, str | None], Bundle], content: Named, address: Named, *, recursive: bool
) -> frozenset[bytes]:
    """The contents that are meant. ``find``: the bundle of a repo and a ref.

    Raises:
        NotFound: no such repo, bundle or path.
        InvalidInput: not a hash; nothing is named; or what is named has no bytes of its own.
    """
    found = {parse_hash(text) for text in _listed(content)}
    for text in _listed(address):
        place = parse_address(text)
        found |= {
            bytes.fromhex(hash) for hash in _of_path(find(place.repo, place.ref), place.path, recursive=recursive)
        }
    if not found:
        raise InvalidInput("nothing is named that could be erased", "give a content hash, or repo@ref:path")
    return frozenset(found)


def _listed(named: Named) -> list[str]:
    return [named] if isinstance(named, str) else list(named)


def _of_path(bundle: Bundle, path: str, *, recursive: bool) -> Iterator[str]:
    entry = bundle.entry(path) if path else None
    if entry is not None and entry.kind != "folder":
        if entry.kind == "symlink":
            raise InvalidInput(f"'{path}' is a symlink: its target stands in the manifest, which stays")
        if not entry.size:
            raise InvalidInput(f"'{path}' is empty: there is nothing to erase")
        yield _hash(entry)
    elif recursive:
        yield from (_hash(below) for below in bundle.ls(path, recursive=True) if below.kind == "file" and below.size)
    else:
        raise InvalidInput(
            f"'{path or bundle.repo_name}' is a folder", "name a file, or mean all files below: --recursive"
        )


def _hash(entry: Entry) -> str:
    return entry.content or ""
