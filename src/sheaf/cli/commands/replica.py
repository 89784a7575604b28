"""``store replica``, ``store replicate`` and ``store promote``: copies of a store in other locations."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import click

from sheaf.cli.app import App
from sheaf.cli.output.render import View
from sheaf.cli.output.text import count_of, human_size, quote
from sheaf.cli.verb_tree import verb

if TYPE_CHECKING:
    from sheaf.api import Caught, ReplicaInfo

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
@click.option("--policy", type=_POLICY, help="Locations that must have a write before it succeeds.")
def add(app: App, url: str, policy: Any) -> None:
    """Copy the store to URL, an empty location, and keep the copy up to date."""
    _show(app, url, app.store.replicas.add(url, policy=policy, progress=app.progress("replicate")))


@verb(name="remove", example="sheaf store replica remove s3://elsewhere/sheaf", exits=(3, 5, 6, 8, 9, 10))
@click.argument("url")
def remove(app: App, url: str) -> None:
    """Remove a replica. The copy is kept but no longer updated."""
    app.store.replicas.remove(url)
    app.out.object({"removed": url})


@verb(name="list", example="sheaf store replica list", exits=(3, 5, 6, 8, 9), fields=lambda: {"": _VIEW})
def list_(app: App) -> None:
    """List the replicas.

    A state is 'in step', 'behind', 'missing' (the location no longer contains a copy), 'diverged' or 'unreachable'.
    """
    app.out.listing(_VIEW, app.store.replicas.list())


@verb(name="policy", example="sheaf store replica policy all", exits=(3, 5, 6, 8, 9, 10))
@click.argument("policy", type=_POLICY, required=False)
def policy(app: App, policy: Any) -> None:
    """Show or set the locations that must have a write before it succeeds.

    They are 'all' locations, a 'majority' of them, or only the 'primary', which replicas then follow as they can.
    """
    replicas = app.store.replicas
    if policy:
        replicas.set_policy(policy)
    app.out.line(replicas.policy)
    app.out.object({"policy": replicas.policy})


@verb(example="sheaf store replicate", exits=(3, 4, 5, 6, 8, 9, 10))
@click.option("--to", metavar="URL", help="Update only this replica.")
@click.option("--prune", is_flag=True, help="Also delete objects there that this store doesn't contain.")
@click.option("--refill", is_flag=True, help="Copy everything again to a replica that lost its copy.")
def replicate(app: App, to: str | None, prune: bool, refill: bool) -> None:
    """Bring replicas up to date. Only missing objects are copied; an interrupted run can be repeated.

    A replica that lost its copy, such as an unmounted disk, is reported, and updated only with --refill.
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
            f"{count_of(caught.kept, 'object is', 'objects are')} only in {url}; pass --prune to delete what is only there"
        )


@verb(example="sheaf store promote s3://elsewhere/sheaf", exits=(3, 4, 5, 6, 8, 9, 10))
@click.argument("url")
def promote(app: App, url: str) -> None:
    """Make the replica at URL the primary, which accepts writes.

    If the old primary can be reached, its commits are copied and it becomes a replica. If not, commits that only it
    has are missing from the new primary, and the old one refuses writes when it comes back.
    """
    app.flags["store"] = url
    app.resumes = True
    promoted = app.store.replicas.promote(progress=app.progress("promote"))
    app.out.object(dataclasses.asdict(promoted))
    app.out.line(f"{quote(promoted.url)} is now the primary (epoch {promoted.epoch})")
    for lost in promoted.unreachable:
        app.warn(f"{lost} is unreachable: data that exists only there is left behind")
    app.note(f"note: run `sheaf config set store {quote(promoted.url)}` to use it from now on")
