"""``rm``, ``mv``, ``append`` and ``edit``: change a branch without downloading it, in one commit."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.branch_edit import BranchEdit, Line, branch_of, commit, lines_of, path_of
from sheaf.cli.exits import OK
from sheaf.cli.inputs import address_of, standard_input
from sheaf.cli.output.text import count_of, quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput, SheafError
from sheaf.local_errors import translated

if TYPE_CHECKING:
    from sheaf.repo.repo import Repo

__all__ = ["append", "edit", "mv", "rm"]

_message = click.option("-m", "--message", metavar="TEXT", help="Message of the new bundle. Default: the arguments.")
_dry_run = click.option("--dry-run", is_flag=True, help="Print what would be done; change nothing.")
_EXITS = (3, 4, 5, 6, 8, 9, 10)


@verb(example='sheaf rm -r faces@main:train --message "labels only"', exits=_EXITS)
@click.argument("paths", metavar="REPO@BRANCH:PATH...", nargs=-1, required=True)
@_message
@click.option("-r", "--recursive", is_flag=True, help="Remove folders and their contents.")
@_dry_run
def rm(app: App, *, paths: tuple[str, ...], message: str | None, recursive: bool, dry_run: bool) -> int:
    """Remove files and folders from a branch.

    All paths are on one branch; they are removed in one commit. Older bundles keep them.
    """
    repo, branch = branch_of(app, paths)
    line = Line(0, ["rm", *(["-r"] if recursive else []), "--", *map(_named, paths)])
    return _run(app, repo, branch, [line], message or f"rm {' '.join(paths)}", dry_run=dry_run)


@verb(example='sheaf mv faces@main:train faces@main:training --message "a longer name"', exits=_EXITS)
@click.argument("paths", metavar="REPO@BRANCH:PATH...", nargs=-1, required=True)
@_message
@_dry_run
def mv(app: App, *, paths: tuple[str, ...], message: str | None, dry_run: bool) -> int:
    """Move or rename files and folders on a branch.

    The last PATH is the new one. If it ends in a slash or is a folder, the others are moved into it. A file replaces
    another file. To move between branches or repos, use cp, then rm.
    """
    repo, branch = branch_of(app, paths)
    line = Line(0, ["mv", "--", *map(_named, paths[:-1]), path_of(paths[-1])])
    return _run(app, repo, branch, [line], message or f"mv {' '.join(paths)}", dry_run=dry_run)


@verb(example='sheaf append faces@main:labels.csv new.csv --message "more labels"', exits=_EXITS)
@click.argument("target", metavar="REPO@BRANCH:PATH")
@click.argument("sources", metavar="LOCAL...", nargs=-1, required=True)
@_message
def append(app: App, *, target: str, sources: tuple[str, ...], message: str | None) -> int:
    """Append local files to a file on a branch.

    Only new bytes are uploaded. LOCAL '-' is stdin. To create a file, use cp.
    """
    repo, branch = branch_of(app, [target])
    line = Line(0, ["append", "--", _named(target), *sources])
    return _run(app, repo, branch, [line], message or f"append {target} {' '.join(sources)}")


@verb(example="sheaf edit faces@main changes.txt --message 'tidy up'", exits=_EXITS)
@click.argument("branch", metavar="REPO[@BRANCH]")
@click.argument("script", metavar="[SCRIPT]", required=False, default="-")
@click.option("-m", "--message", required=True, metavar="TEXT", help="Message of the new bundle.")
@options.allow_erased
@_dry_run
def edit(app: App, *, branch: str, script: str, message: str, allow_erased: bool, dry_run: bool) -> int:
    """Make several changes of a branch in one commit.

    SCRIPT is a file, by default stdin, with one change per line: rm [-r] PATH..., mv PATH... PATH, cp [-r] SOURCE...
    PATH, append PATH LOCAL..., or mkdir PATH... Quote words as in a shell; # begins a comment. A PATH is on the branch.
    A SOURCE is a PATH, REPO@REF:PATH, or a local file or folder that begins with ./, / or ~. If one line fails, nothing
    is committed.
    """
    if address_of(branch).path:
        raise InvalidInput(f"'{branch}' names a path", "name only the branch, as REPO@BRANCH")
    repo, name = branch_of(app, [branch])
    lines = list(lines_of(_read(script), "the script"))
    if not lines:
        raise InvalidInput("the script contains no change", "write one change per line, such as: rm PATH")
    return _run(
        app, repo, name, lines, message, dry_run=dry_run, allow_erased=allow_erased, is_input_read=script == "-"
    )


def _read(script: str) -> bytes:
    if script == "-":
        return standard_input().read()
    with translated(f"read {script}"):
        return Path(script).read_bytes()


def _named(typed: str) -> str:
    if not (path := path_of(typed)):
        raise InvalidInput(f"'{typed}' names no path", "write it as REPO@BRANCH:PATH")
    return path


def _run(
    app: App,
    repo: Repo,
    branch: str,
    lines: Sequence[Line],
    message: str,
    *,
    dry_run: bool = False,
    allow_erased: bool = False,
    is_input_read: bool = False,
) -> int:
    """Make all changes in one commit; with ``dry_run`` only check and print them."""
    if not dry_run:
        with repo.edit(branch, message=message, allow_erased=allow_erased) as changes:
            script = BranchEdit(app, changes, is_input_read=is_input_read)
            for line in lines:
                _do(script, line)
            commit(app, repo, changes)
        return OK
    with repo.plan_edit(branch) as plan:
        script = BranchEdit(app, plan, is_input_read=is_input_read)
        for line in lines:
            before = plan.files
            _do(script, line)
            _report(app, line, plan.files - before)
    app.summary("dry run: nothing was committed")
    return OK


def _do(script: BranchEdit, line: Line) -> None:
    try:
        script.do(line.words)
    except SheafError as error:
        if line.number:
            error.message = f"line {line.number}: {error.message}"
        raise


def _report(app: App, line: Line, files: int) -> None:
    words = [word for word in line.words if word != "--"]
    change = f"  ({'+' if files > 0 else '-'}{count_of(abs(files), 'file')})" if files else ""
    # Quoted as in a script, so that a line can be copied into one.
    app.out.line(" ".join(quote(shlex.quote(word)) for word in words) + change)
    app.out.object({"dry_run": True, "line": line.number or None, "change": words, "files": files})
