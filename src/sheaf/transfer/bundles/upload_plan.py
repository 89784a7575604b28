"""Plan an upload: read and compare a folder without writing to the store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sheaf.engine.commit.writer import Draft
from sheaf.engine.context import Context
from sheaf.engine.manifest.comparison.tree_diff import Difference, with_renames
from sheaf.engine.manifest.tree import Tree, entries
from sheaf.engine.sessions.erasure_notices import Erasures, erased_contents
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.transfer.bundles.commit_folder import UploadRules
from sheaf.transfer.bundles.local_folders import hashes_of
from sheaf.transfer.local.compare import changes
from sheaf.transfer.local.ignore import Ignore
from sheaf.transfer.local.name_collisions import ANYWHERE, Clashes, clash_text
from sheaf.transfer.local.scan import ScanBatch, Skipped, scan
from sheaf.transfer.progress import Meter
from sheaf.transfer.upload import FolderOptions, ensure_wanted, left_out_warnings

__all__ = ["FolderPlan", "plan_upload"]


@dataclass(slots=True)
class FolderPlan:
    """What an upload would do: :class:`sheaf.repo.values.UploadPlan`."""

    parent: str
    changes: list[Difference] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    new_bytes: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    clashes: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def plan_upload(context: Context, draft: Draft, options: FolderOptions, rules: UploadRules, meter: Meter) -> FolderPlan:
    """Compare a folder with the bundle that would be the parent of an upload.

    Raises:
        NotFound, InvalidInput, Denied, Conflict: for a file, unless ``skip_on_error``.
        AlreadyExists: a name is in use.
        Refused: there is no file to upload, names collide, or a content was erased from the store, unless the rules
            allow it.
    """
    state = context.log.head().state
    draft.ensure_names(state)
    at = state.branches.get(draft.branch or "")
    id = at.bundle if at and at.bundle not in state.aside else ""
    parent = context.tree(context.refs.resolve(f"bundle:{id}")) if id else None
    plan = FolderPlan(id)
    _compare(plan, context, parent, options, meter, allow_erased=rules.allow_erased)
    ensure_wanted(plan, options.root, portable=rules.portable, allow_empty=rules.allow_empty)
    return plan


def _compare(
    plan: FolderPlan, context: Context, parent: Tree | None, options: FolderOptions, meter: Meter, *, allow_erased: bool
) -> None:
    folder = options.root
    stats, on_error = hashes_of(context, folder), plan.skipped.append if options.skip_on_error else None
    scanned = scan(folder, ignore=Ignore(), files=options.files, on_error=on_error, exclude=options.exclude)
    different = changes(parent, folder, stats, scanned=_counted(scanned, plan), on_error=on_error, meter=meter)
    found = list(with_renames(list(_readable(different, plan))))
    if stats is not None:
        stats.save()
    meter.finish()
    plan.changes = found
    new = [each for each in found if each.how in ("added", "modified") and each.new and each.new.kind == Kind.FILE]
    plan.new_bytes = sum({each.new.content: each.new.size for each in new if each.new}.values())
    erasures = Erasures(context.core, erased_contents(context.core), allow=allow_erased)
    kept = _kept(parent, found, erasures.contents) if parent and erasures.contents else ()
    for entry in [*kept, *(each.new for each in found if each.new)]:
        erasures.refuse(entry.content, f"'{entry.path}'")
    plan.warnings += [clash_text(*clash) for clash in plan.clashes] + left_out_warnings(folder) + erasures.warnings()


def _counted(scanned: Iterable[ScanBatch], plan: FolderPlan) -> Iterator[ScanBatch]:
    """The scan as it is; its files, bytes and clashing names are noted."""
    clashes = Clashes(ANYWHERE)
    for batch in scanned:
        plan.files += int(np.count_nonzero(batch.kind != Kind.FOLDER))
        plan.bytes += int(batch.size.sum())
        plan.clashes += clashes.find(batch.folder, batch.name)
        yield batch


def _readable(different: Iterable[Difference], plan: FolderPlan) -> Iterator[Difference]:
    """The differences. A file that can't be read is in the scan, but would not be in the bundle."""
    for each in different:
        if each.new is None or all(each.path != item.path for item in plan.skipped):
            yield each
            continue
        plan.files -= 1
        plan.bytes -= each.new.size
        if each.old is not None:
            yield Difference("deleted", each.old, None)


def _kept(parent: Tree, found: Iterable[Difference], contents: Collection[bytes]) -> Iterator[ManifestEntry]:
    """The files of the parent that have one of these contents and are in the folder as they are."""
    changed = {each.old.path for each in found if each.old}
    wanted = pa.array(sorted(contents), pa.binary(32))
    for batch in parent.batches():
        for entry in entries(batch.filter(pc.is_in(batch["content"], value_set=wanted))):
            if entry.path not in changed:
                yield entry
