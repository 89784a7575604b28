"""``bundle mount new`` and ``bundle commit``: a writable folder that becomes a bundle."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.mount import MOUNTING, MountFlags, in_background
from sheaf.cli.commands.upload import place_of, report_branch, report_label
from sheaf.cli.daemon import Daemon
from sheaf.cli.output import views
from sheaf.cli.output.text import quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput, NotFound, SheafError

if TYPE_CHECKING:
    from sheaf.repo.bundle import Bundle

__all__ = ["commit", "mount_new"]

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@verb(
    name="new",
    example="sheaf bundle mount new --repo faces --base main --mount ./work --message cleaned --daemonize\n"
    "rm ./work/labels.csv\n"
    "fusermount3 -u ./work",
    exits=(3, 4, 5, 6, 8, 9, 10),
)
@options.repo
@MOUNTING
@click.option("-m", "--message", required=True, metavar="TEXT", help="Message of the bundle.")
@click.option("--label", metavar="LABEL", help="Label to set on the bundle in the same commit.")
@options.move_label
@click.option("--branch", default="main", show_default=True, metavar="BRANCH", help="Branch to commit to.")
@click.option("--base", metavar="REF", help="Bundle to start from. Default: an empty folder.")
@click.option(
    "--destination",
    type=options.PLACE,
    metavar="DIR",
    help="Empty folder for uncommitted changes. Default: one in the user's data folder.",
)
@options.allow_empty
@click.option("--commit-every", metavar="TIME", help="Also commit at this interval if anything changed, such as 10m.")
def mount_new(
    app: App,
    *,
    repo: str,
    flags: MountFlags,
    message: str,
    label: str | None,
    move_label: bool,
    branch: str,
    base: str | None,
    destination: Path | None,
    allow_empty: bool,
    commit_every: str | None,
) -> int:
    """Mount a writable folder. Its contents are committed as one bundle on unmount, SIGINT or SIGTERM.

    'sheaf bundle commit DIR' commits a bundle without unmounting. If the last commit fails, nothing is lost: the command
    that commits the changes is printed.

    If the mount started from the head of its branch, the commit adds your changes to what others committed in the
    meantime. If they changed the same paths, it is refused: commit to another branch instead. With another --base,
    or with none on a branch that exists, the commit replaces the content of the branch.
    """
    every_s = None if commit_every is None else _seconds(commit_every)
    kind = "-mutable" if app.dialect.name == "datamon" else ""

    def work(daemon: Daemon | None) -> None:
        from sheaf.mount.mount_options import ReadOptions
        from sheaf.mount.writable_mount import NewBundle, mount_new

        found = app.repo(repo)
        spill = (destination or _spill_folder(app, found.context.core.clock.new_id())).absolute()
        lax = app.dialect.keeps_upstream
        new = NewBundle(message, spill, base, branch, label, every_s, move_label or lax, allow_empty or lax)
        before = "" if app.dialect.keeps_upstream else place_of(found, label)
        how = flags.options(app, repo, daemon, kind=kind, ref=branch)
        try:
            bundle = mount_new(
                found,
                flags.mount,
                new,
                how,
                ReadOptions(),
                on_commit=lambda bundle: _report(app, bundle, None, branch),
                complain=lambda error: app.warn(f"could not commit: {error.message}"),
            )
        except BaseException as error:
            if (spill / "journal").exists():
                app.warn(f"nothing is lost; to commit it, run: {_next_command(app, spill, error)}")
            raise
        _report(app, bundle, label, branch, before=before)

    return in_background(app, work, flags, prints_at_end=True)


def _spill_folder(app: App, id: str) -> Path:
    from sheaf.repo.mount_spills import spills_folder

    return spills_folder(app.environment) / id


def _next_command(app: App, spill: Path, error: BaseException) -> str:
    hint = error.hint if isinstance(error, SheafError) else ""
    options = (("--branch", "NAME"), ("--allow-empty",))
    words = [app.dialect.name, "bundle", "commit", str(spill)]
    words += [word for option in options if option[0] in hint for word in option]
    for flag in ("store", "context", "endpoint", "region", "profile"):
        if flag in app.flags:
            words += [f"--{flag}", app.flags[flag]]
    return shlex.join(words)


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    if match is None or not int(match[1]):
        raise InvalidInput(f"invalid value '{text}' for --commit-every", "write it as 30s, 10m or 1h")
    return int(match[1]) * _UNITS[match[2]]


def _report(app: App, bundle: Bundle, label: str | None, branch: str = "main", *, before: str = "") -> None:
    app.committed = bundle.id
    app.out.line(f"bundle: {bundle.id}")
    report_label(app, label, before if before != bundle.id else "")
    report_branch(app, branch, bundle)
    app.out.object(views.bundle_record(bundle))


def _commit_left(app: App, folder: Path, **said: Any) -> Bundle:
    from sheaf.mount.journal import is_spill
    from sheaf.mount.writable_mount import commit_left

    if not is_spill(folder):
        places = _spill_folder(app, "").absolute()
        raise NotFound(
            f"{folder} is neither a writable mount nor the uncommitted changes of one",
            f"name a folder below {places}, or the --destination of the mount",
        )
    return commit_left(app.store, folder.absolute(), **said)


@verb(example="sheaf bundle commit ./work --label point\nfusermount3 -u ./work", exits=(3, 4, 5, 6, 8, 9, 10))
@click.argument("folder", type=options.PLACE, metavar="DIR")
@click.option("-m", "--message", metavar="TEXT", help="Message of the bundle. Default: the mount's.")
@click.option("--label", metavar="LABEL", help="Label to set on the bundle in the same commit.")
@click.option("--branch", metavar="BRANCH", help="Branch to commit to. Default: the mount's.")
@options.move_label
@options.allow_empty
def commit(
    app: App,
    folder: Path,
    message: str | None,
    label: str | None,
    branch: str | None,
    move_label: bool,
    allow_empty: bool,
) -> None:
    """Commit the changes in a writable mount, which stays mounted; or those of a mount whose commit failed."""
    from sheaf.mount.control import is_mount, request

    lax = app.dialect.keeps_upstream
    said: dict[str, Any] = {"message": message, "label": label, "branch": branch}
    said |= {"move_label": move_label or lax, "allow_empty": allow_empty or lax}
    if not is_mount(folder):
        bundle = _commit_left(app, folder, **said)
        _report(app, bundle, label, branch or "main")
        return
    answer = request(folder, {"do": "commit", **said})
    app.out.line(f"bundle: {quote(answer['bundle'])}")
    report_label(app, label)
    app.out.object(answer)
