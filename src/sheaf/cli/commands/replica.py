"""``store replica``, ``store replicate`` and ``store promote``: copies of a store elsewhere."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import click

from sheaf.cli.app import App
from sheaf.cli.output.render import View
from sheaf.cli.output.text import count_of, human_size, quote
from sheaf.cli.verb_tree import verb

if TYPE_CHECKING:
    from sheaf.engine.replicas.catchup import Caught
    from sheaf.repo.store_replicas import ReplicaInfo

__all__ = ["add", "list_", "policy", "promote", "remove", "replicate"]

_POLICY: Final = click.Choice(["all", "majority", "primary"])

_VIEW: Final[View[ReplicaInfo]] = View(
    line=lambda it: quote(it.url),
    record=dataclasses.asdict,
    columns=("URL", "STATE", "WHY"),
    cells=lambda it: (it.url, it.state, it.why),
)


@verb(example="sheaf store replica add s3://elsewhere/sheaf --policy all", exits=(3, 5, 6, 8, 9, 10))
@click.argument("url")
@click.option("--policy", type=_POLICY, help="From now on a write must be on so many places before it is answered.")
def add(app: App, url: str, policy: Any) -> None:
    """Copy the store to URL, an empty place, and keep it up to date from now on."""
    _show(app, url, app.store.replicas.add(url, policy=policy, progress=app.progress("replicate")))


@verb(name="remove", example="sheaf store replica remove s3://elsewhere/sheaf", exits=(3, 5, 6, 8, 9, 10))
@click.argument("url")
def remove(app: App, url: str) -> None:
    """Write to a replica no longer. What it holds stays there."""
    app.store.replicas.remove(url)
    app.out.object({"removed": url})


@verb(name="list", example="sheaf store replica list", exits=(3, 5, 6, 8, 9), fields=lambda: {"": _VIEW})
def list_(app: App) -> None:
    """List the replicas. A state is 'in step', 'behind', 'missing' (its place holds no copy any more), 'diverged'
    or 'unreachable'.
    """
    app.out.listing(_VIEW, app.store.replicas.list())


@verb(name="policy", example="sheaf store replica policy all", exits=(3, 5, 6, 8, 9, 10))
@click.argument("policy", type=_POLICY, required=False)
def policy(app: App, policy: Any) -> None:
    """Say, or set, where a write must be before it is answered.

    On 'all' replicas, on a 'majority' of all places, or on the 'primary' alone, while replicas follow as they can.
    """
    replicas = app.store.replicas
    if policy:
        replicas.set_policy(policy)
    app.out.line(replicas.policy)
    app.out.object({"policy": replicas.policy})


@verb(example="sheaf store replicate", exits=(3, 4, 5, 6, 8, 9, 10))
@click.option("--to", metavar="URL", help="Only this replica.")
@click.option("--prune", is_flag=True, help="Also delete there what this store doesn't have, for whatever reason.")
@click.option("--refill", is_flag=True, help="Copy everything anew to a replica whose place holds no copy any more.")
def replicate(app: App, to: str | None, prune: bool, refill: bool) -> None:
    """Bring replicas up to date. Copies only what is missing; may be stopped and repeated.

    A replica that has lost its copy, such as a disk that isn't mounted, is named and gets nothing without --refill.
    """
    app.resumes = True
    done = app.store.replicas.replicate(to, prune=prune, refill=refill, progress=app.progress("replicate"))
    for url, caught in done.items():
        _show(app, url, caught)


def _show(app: App, url: str, caught: Caught) -> None:
    app.out.object({"url": url, **dataclasses.asdict(caught)})
    records = count_of(caught.records, "record")
    copied = f"{count_of(caught.objects, 'object')} ({human_size(caught.bytes)}) and {records} copied"
    deleted = f", {count_of(caught.deleted, 'object')} deleted" if caught.deleted else ""
    app.out.line(f"{quote(url)}: {copied}{deleted}")
    if caught.kept:
        app.warn(
            f"{count_of(caught.kept, 'object is', 'objects are')} in {url} only; --prune deletes what is there only"
        )


@verb(example="sheaf store promote s3://elsewhere/sheaf", exits=(3, 4, 5, 6, 8, 9, 10))
@click.argument("url")
def promote(app: App, url: str) -> None:
    """Make the replica at URL the primary: the one that is written to.

    The old primary becomes its replica; if it can't be reached, it is left behind, and refused when it comes back.
    """
    app.flags["store"] = url
    app.resumes = True
    promoted = app.store.replicas.promote(progress=app.progress("promote"))
    app.out.object(dataclasses.asdict(promoted))
    app.out.line(f"{quote(promoted.url)} is the primary now (epoch {promoted.epoch})")
    for lost in promoted.unreachable:
        app.warn(f"{lost} can't be reached: what only it holds is left behind")
    app.note(f"name it from now on: sheaf config set store {quote(promoted.url)}")
