"""``store repair``: repair damage, each kind only on request."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.check_report import exit_of, print_report, print_verdict, problem_records
from sheaf.cli.exits import DAMAGED, OK
from sheaf.cli.inputs import confirm
from sheaf.cli.output.text import count_of, human_size, quote
from sheaf.cli.verb_tree import verb
from sheaf.settings.settings import options_for

if TYPE_CHECKING:
    from sheaf.api import Unreadable
    from sheaf.repo.repair import Repaired, RepairPlan, Repairs

__all__ = ["repair"]


@verb(
    example="sheaf store repair\nsheaf store repair --index\nsheaf store repair --from-replica --read-data",
    exits=(3, 4, 5, 6, 7, 8, 9, 10),
)
@click.option(
    "--from-replica",
    is_flag=False,
    flag_value="",
    metavar="[=URL]",
    help="Fetch missing or damaged objects from the replicas, or from URL.",
)
@click.option("--index", is_flag=True, help="Rebuild the dedup index from the packs.")
@click.option("--pages", is_flag=True, help="Rebuild missing or damaged pages of logs.")
@click.option("--quarantine", is_flag=True, help="Quarantine bundles that can't be read.")
@options.read_data("Also find damage by reading every byte, or a part, like `store check`.")
@click.option("--dry-run", is_flag=True, help="Change nothing; print what would be done.")
@click.option(
    "--keep", metavar="FOLDER", type=options.PLACE, help="Save damaged objects to this folder before replacing them."
)
@options.yes
def repair(
    app: App,
    *,
    from_replica: str | None,
    index: bool,
    pages: bool,
    quarantine: bool,
    read_data: float | None,
    dry_run: bool,
    keep: Path | None,
    yes: bool,
) -> int:
    """Repair a damaged store. Each option is a method; without any, print those that apply.

    Damage notes of intact objects are always removed. Nothing else changes unless its option is given.

    Exits like a `store check` after the repair: with 0 if no damage is left, with 7 if the rest can be repaired, else 6.
    """
    from sheaf.repo.repair import RepairPlan

    agree = partial(_agree, app, is_sure=yes)
    plan = RepairPlan(from_replica, pages, index, quarantine, dry_run, keep, agree)
    progress = app.progress("repair", "objects")
    with _opened(app) as repairs:
        done = repairs.repair(plan, read_data=read_data or 0.0, progress=progress)
    progress.close()
    app.out.object(_record(done))
    is_asked = index or pages or quarantine or from_replica is not None
    if is_asked:
        _print(app, plan, done)
    for key in done.sound:
        app.out.line(f"{quote(key)} was noted as damaged but is intact{'' if dry_run else '; removed the note'}")
    print_report(app, done.left)
    code = print_verdict(app, done.left, read_data=bool(read_data)) if not dry_run else exit_of(done.left)
    return DAMAGED if code == OK and done.failed else code


def _opened(app: App) -> Repairs:
    import sheaf  # the heavy part, which only verbs with a store load
    from sheaf.repo.repair import open_repairs

    settings = app.settings
    return open_repairs(
        settings.store,
        options=app.storage_options(),
        cache=settings.cache,
        author=sheaf.Author(settings.name, settings.email),
        others=partial(options_for, settings),
        ask=app.ask,
    )


def _agree(app: App, found: list[Unreadable], *, is_sure: bool) -> None:
    for item in found if not is_sure else ():
        app.warn(_quarantine_line(item))
    confirm(f"Quarantine {count_of(len(found), 'bundle')}?", is_sure=is_sure)


def _quarantine_line(item: Unreadable) -> str:
    return f"{quote(item.repo_name)}@{item.bundle}: {quote(item.reason)}"


def _print(app: App, plan: RepairPlan, done: Repaired) -> None:
    would = "would be " if plan.is_dry else ""
    if plan.from_replica is not None:
        app.out.line(f"{count_of(len(done.fetched), 'object')} ({human_size(done.size)}) {would}fetched")
    if plan.pages:
        app.out.line(f"{count_of(len(done.written), 'page')} {would}rebuilt")
    if done.index is not None:
        i = done.index
        app.out.line(
            f"{count_of(i.chunks, 'chunk')} in {count_of(i.packs, 'pack')} {would}indexed in "
            f"{count_of(i.written, 'object')}, {i.removed} {would}removed"
        )
    if plan.quarantine:
        app.out.line(f"{count_of(len(done.quarantined), 'bundle')} {would}quarantined")
        for item in done.quarantined:
            app.out.line(_quarantine_line(item))
    for key, why in done.failed.items():
        app.warn(f"{quote(key)} can't be repaired: {quote(why)}")


def _record(done: Repaired) -> dict[str, Any]:
    index = dataclasses.asdict(done.index) if done.index else None
    if index:
        index["unread"] = {pack.hex(): why for pack, why in index["unread"].items()}
    return {
        "ok": done.left.ok,
        "found": problem_records(done.found),
        "left": problem_records(done.left),
        "fetched": done.fetched,
        "fetched_bytes": done.size,
        "pages": done.written,
        "index": index,
        "quarantined": [dataclasses.asdict(item) for item in done.quarantined],
        "failed": done.failed,
        "sound": done.sound,
        "noted": done.left.noted,
    }
