"""Output formats of each kind of thing: Datamon's line, exact cells, a JSON record, the fields of ``--format``."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sheaf.cli.output.render import Cell, View
from sheaf.cli.output.text import exact_time, go_time, quote, short_time

if TYPE_CHECKING:
    from sheaf import Author
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.diamond import DiamondInfo, SplitInfo
    from sheaf.repo.repo import Repo
    from sheaf.repo.values import Branch, Entry, Label, RepoInfo

__all__ = [
    "BRANCH",
    "BUNDLE",
    "DELETED_REPO",
    "DIAMOND",
    "ENTRY",
    "FILE",
    "LABEL",
    "LONG_ENTRY",
    "REPO",
    "SPLIT",
    "bundle_record",
]

_DELETED: Final = "deleted"  # in the history of a label; no id looks like this
_TYPE_BITS: Final = {"file": stat.S_IFREG, "symlink": stat.S_IFLNK, "folder": stat.S_IFDIR}


def _person(author: Author) -> dict[str, str]:
    return {"name": author.name, "email": author.email}


def _go_person(author: Author) -> dict[str, str]:
    return {"Name": author.name, "Email": author.email}


# -- repos


def _repo_record(repo: RepoInfo | Repo) -> dict[str, Any]:
    record = {"id": repo.id, "name": repo.name, "description": repo.description, "created": repo.created}
    bundles = getattr(repo, "bundles", None)
    counted = {"bundles": bundles} if isinstance(bundles, int) else {}
    return {**record, "author": _person(repo.author), **counted}


def _repo_line(repo: RepoInfo | Repo) -> str:
    parts = (repo.name, repo.description, repo.author.name, repo.author.email)
    return " , ".join([*map(quote, parts), go_time(repo.created)])


def _repo_fields(repo: RepoInfo | Repo) -> dict[str, Any]:
    named = {"Name": repo.name, "Description": repo.description}
    return {**named, "Timestamp": repo.created, "Contributor": _go_person(repo.author)}


REPO: Final[View[Any]] = View(
    line=_repo_line,
    record=_repo_record,
    columns=("NAME", "DESCRIPTION", "AUTHOR", "EMAIL", "CREATED"),
    cells=lambda repo: (repo.name, repo.description, repo.author.name, repo.author.email, repo.created),
    fields=_repo_fields,
)


DELETED_REPO: Final[View[RepoInfo]] = View(
    line=lambda repo: quote(repo.name),
    record=lambda repo: {**_repo_record(repo), "deleted": repo.deleted},
    columns=("NAME", "ID", "DELETED", "BUNDLES"),
    cells=lambda repo: (repo.name, repo.id, repo.deleted, repo.bundles),
    fields=_repo_fields,
)

# -- bundles


def bundle_record(bundle: Bundle) -> dict[str, Any]:
    """Return a bundle as a record for JSON."""
    return {
        "id": bundle.id,
        "version": bundle.version,
        "repo": bundle.repo_name,
        "message": bundle.message,
        "time": bundle.time,
        "author": _person(bundle.author),
        "parents": list(bundle.parents),
        "meta": dict(bundle.meta),
        "files": bundle.files,
        "entries": bundle.entries,
        "size": bundle.size,
        **({"quarantined": bundle.quarantined} if bundle.quarantined else {}),
        "redacted": bundle.redacted,
    }


def _bundle_line(bundle: Bundle) -> str:
    aside = [f"quarantined: {quote(bundle.quarantined)}"] if bundle.quarantined else []
    return " , ".join([bundle.id, go_time(bundle.time), quote(bundle.message), *aside])


def _bundle_fields(bundle: Bundle) -> dict[str, Any]:
    return {
        "ID": bundle.id,
        "BundleID": bundle.id,
        "RepoID": bundle.repo_name,
        "Message": bundle.message,
        "Timestamp": bundle.time,
        "Contributors": f"[{bundle.author.name} {bundle.author.email}]",
        "Parents": f"[{' '.join(bundle.parents)}]",
        "Version": bundle.version,
        "BundleEntriesFileCount": bundle.files,
        "Redacted": bundle.redacted,
        "Deduplication": "blake",
    }


def _bundle_cells(bundle: Bundle) -> tuple[Cell, ...]:
    state = f"quarantined: {bundle.quarantined}" if bundle.quarantined else ""
    return (bundle.id, bundle.time, bundle.files, bundle.size, bundle.author.name, state, bundle.message)


BUNDLE: Final[View[Bundle]] = View(
    line=_bundle_line,
    record=bundle_record,
    columns=("ID", "TIME", "FILES", "SIZE", "AUTHOR", "STATE", "MESSAGE"),
    cells=_bundle_cells,
    fields=_bundle_fields,
)

# -- labels and branches


def _pointer_record(pointer: Label | Branch) -> dict[str, Any]:
    return {
        "name": pointer.name,
        "bundle": pointer.bundle or None,
        "time": pointer.time,
        "author": _person(pointer.author),
        **({"quarantined": True} if pointer.quarantined else {}),
    }


def _pointer_line(pointer: Label | Branch) -> str:
    line = f"{quote(pointer.name)} , {pointer.bundle or _DELETED} , {go_time(pointer.time)}"
    return f"{line} , quarantined" if pointer.quarantined else line


def _pointer_cells(pointer: Label | Branch) -> tuple[Cell, ...]:
    state = "quarantined" if pointer.quarantined else ""
    return (pointer.name, pointer.bundle or _DELETED, pointer.time, pointer.author.name, state)


def _pointer_fields(pointer: Label | Branch) -> dict[str, Any]:
    who = f"[{pointer.author.name} {pointer.author.email}]"
    return {"Name": pointer.name, "BundleID": pointer.bundle, "Timestamp": pointer.time, "Contributors": who}


LABEL: Final[View[Label]] = View(
    line=_pointer_line,
    record=_pointer_record,
    columns=("LABEL", "BUNDLE", "TIME", "AUTHOR", "STATE"),
    cells=_pointer_cells,
    fields=_pointer_fields,
)
BRANCH: Final[View[Branch]] = View(
    line=_pointer_line,
    record=_pointer_record,
    columns=("BRANCH", "BUNDLE", "TIME", "AUTHOR", "STATE"),
    cells=_pointer_cells,
    fields=_pointer_fields,
)

# -- entries


def _entry_record(entry: Entry) -> dict[str, Any]:
    record: dict[str, Any] = {
        "path": entry.path,
        "kind": entry.kind,
        "mode": f"{entry.mode:04o}",
        "mtime_ns": entry.mtime_ns,
        "size": entry.size,
        "content": entry.content,
    }
    if entry.target is not None:
        record["target"] = entry.target
    if entry.attrs:
        record["attrs"] = dict(entry.attrs)
    if entry.erased is not None:
        record["erased"] = entry.erased
    return record


def _state(entry: Entry) -> str:
    return "erased" if entry.erased else ""


def _shown(entry: Entry) -> str:
    return entry.path + "/" if entry.kind == "folder" else entry.path


def _long_line(entry: Entry) -> str:
    when = _mtime(entry.mtime_ns)
    arrow = f" -> {quote(entry.target)}" if entry.target is not None else ""
    return f"{_mode(entry)} {entry.size:>12} {when} {quote(_shown(entry))}{arrow}{' (erased)' if entry.erased else ''}"


def _long_cells(entry: Entry) -> tuple[Cell, ...]:
    return (_mode(entry), entry.size, _exact_mtime(entry.mtime_ns), _shown(entry), entry.target, _state(entry))


def _mode(entry: Entry) -> str:
    return stat.filemode(entry.mode | _TYPE_BITS[entry.kind])


def _exact_mtime(mtime_ns: int) -> str:
    """Format a time with nanoseconds, which a datetime can't represent."""
    seconds, rest = divmod(mtime_ns, 10**9)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    try:
        return exact_time(datetime.fromtimestamp(seconds, UTC)).replace("Z", f"{fraction}Z")
    except (OverflowError, ValueError, OSError):  # a year that a datetime can't represent
        return f"{mtime_ns}ns"


def _mtime(mtime_ns: int) -> str:
    try:
        return short_time(datetime.fromtimestamp(mtime_ns // 10**9, UTC))
    except (OverflowError, ValueError, OSError):  # a year that a datetime can't represent
        return f"{mtime_ns}ns"


def _file_fields(entry: Entry) -> dict[str, Any]:
    return {"Hash": entry.content, "NameWithPath": entry.path, "FileMode": entry.mode, "Size": entry.size}


FILE: Final[View[Entry]] = View(
    line=lambda entry: f"name:{quote(entry.path)}, size:{entry.size}, hash:{entry.content or ''}",
    record=_entry_record,
    columns=("PATH", "SIZE", "HASH", "STATE"),
    cells=lambda entry: (entry.path, entry.size, entry.content, _state(entry)),
    exact=lambda entry: entry.path,
    fields=_file_fields,
)
ENTRY: Final[View[Entry]] = View(line=lambda entry: quote(_shown(entry)), record=_entry_record, exact=_shown)
LONG_ENTRY: Final[View[Entry]] = View(
    line=_long_line,
    record=_entry_record,
    columns=("MODE", "SIZE", "TIME", "PATH", "TARGET", "STATE"),
    cells=_long_cells,
    is_tabular=False,
    exact=_shown,
)

# -- diamonds


def _span(started: datetime, ended: datetime | None) -> str:
    return f"started: {go_time(started)},ended: {go_time(ended) if ended else 'not terminated'}"


def _diamond_record(diamond: DiamondInfo) -> dict[str, Any]:
    return {
        "id": diamond.id,
        "state": diamond.state,
        "started": diamond.started,
        "ended": diamond.ended,
        "bundle": diamond.bundle,
        "mode": diamond.mode,
        "has_conflicts": diamond.has_conflicts,
        "has_checkpoints": diamond.has_checkpoints,
        "tag": diamond.tag,
    }


def _diamond_line(diamond: DiamondInfo) -> str:
    conflicts = "hasConflicts" if diamond.has_conflicts else ""
    checkpoints = "hasCheckpoints" if diamond.has_checkpoints else ""
    parts = (diamond.state, diamond.bundle or "", diamond.mode or "", conflicts, checkpoints, quote(diamond.tag))
    return ",".join([diamond.id, _span(diamond.started, diamond.ended), *parts])


def _diamond_cells(it: DiamondInfo) -> tuple[Cell, ...]:
    conflicts, checkpoints = ("yes" if flag else "no" for flag in (it.has_conflicts, it.has_checkpoints))
    return (it.id, it.state, it.started, it.ended, it.bundle, it.mode, conflicts, checkpoints, it.tag)


DIAMOND: Final[View[DiamondInfo]] = View(
    line=_diamond_line,
    record=_diamond_record,
    columns=("ID", "STATE", "STARTED", "ENDED", "BUNDLE", "MODE", "CONFLICTS", "CHECKPOINTS", "TAG"),
    cells=_diamond_cells,
    fields=lambda it: {"DiamondID": it.id, "State": it.state, "BundleID": it.bundle or "", "Tag": it.tag},
)


def _split_record(split: SplitInfo) -> dict[str, Any]:
    record = {"id": split.id, "state": split.state, "started": split.started, "ended": split.ended}
    skipped = [{"path": item.path, "reason": item.reason} for item in split.skipped]
    return {**record, "count": split.count, "tag": split.tag, "skipped": skipped}


SPLIT: Final[View[SplitInfo]] = View(
    line=lambda it: f"{quote(it.id)},{_span(it.started, it.ended)},{it.state},{it.count}{quote(it.tag)}",
    record=_split_record,
    columns=("ID", "STATE", "STARTED", "ENDED", "FILES", "TAG"),
    cells=lambda it: (it.id, it.state, it.started, it.ended, it.count, it.tag),
    fields=lambda it: {"SplitID": it.id, "State": it.state, "Count": it.count, "Tag": it.tag},
)
