"""``cp``: copy files and folders to, from and between bundles."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.branch_edit import BranchEdit, branch_of, commit, path_of
from sheaf.cli.commands.erase import report_erased
from sheaf.cli.exits import OK
from sheaf.cli.inputs import address_of, bundle_at, is_address, showing
from sheaf.cli.output.text import quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput

if TYPE_CHECKING:
    from sheaf.repo.bundle import Bundle

__all__ = ["cp"]


@verb(
    example='sheaf cp ./new.jpg faces@main:train/ --message "one more"\nsheaf cp faces@init:labels.csv ./labels.csv',
    exits=(3, 4, 5, 6, 8, 9, 10, 11),
)
@click.argument("paths", metavar="LOCAL|REPO@REF:PATH...", nargs=-1, required=True)
@click.option("-m", "--message", metavar="TEXT", help="Message of the new bundle. Default: the arguments of cp.")
@click.option("-r", "--recursive", is_flag=True, help="Copy a folder and its contents.")
@click.option("--overwrite", is_flag=True, help="Write to a non-empty local folder, or replace a local file.")
@options.allow_erased
def cp(
    app: App,
    *,
    paths: tuple[str, ...],
    message: str | None,
    recursive: bool,
    overwrite: bool,
    allow_erased: bool,
) -> int:
    """Copy files to, from and between bundles.

    The last argument is the target. Copies to REPO@BRANCH:PATH create one new bundle on that branch (default: main);
    other branches must exist. Between bundles of a store no data moves. If the target ends in a slash or is a folder, the
    copies are placed inside it; a folder is merged into one of the same name. Files that match .sheafignore are skipped,
    as in an upload. Write a local name that contains @ or : with a leading ./
    """
    *_, target = paths
    sources = paths[:-1]
    if not sources:
        raise InvalidInput("there is nothing to copy it to", "name the target as the last argument")
    if not is_address(target):
        if not all(map(is_address, sources)):
            raise InvalidInput("neither argument is an address in a store", "write one as REPO@REF:PATH")
        if len(sources) > 1 and not Path(target).is_dir():
            raise InvalidInput(
                f"{quote(target)} is not a folder", "name an existing folder, or copy one file or folder"
            )
        return max(
            _copy_out(app, each, _into(target, each, sources), recursive=recursive, force=overwrite) for each in sources
        )
    message = message or f"cp {' '.join(sources)} {target}"
    _copy_in(app, sources, target, message, recursive=recursive, allow_erased=allow_erased)
    return OK


# -- into a bundle


def _copy_in(
    app: App, sources: tuple[str, ...], target: str, message: str, *, recursive: bool, allow_erased: bool
) -> None:
    repo, branch = branch_of(app, [target])
    with repo.edit(branch, message=message, allow_erased=allow_erased) as edit:
        copies = BranchEdit(app, edit)
        for source in sources:
            if is_address(source):
                copies.copy_bundle(source, path_of(target), recursive, len(sources))
            else:
                copies.copy_local(Path(source), path_of(target), recursive, len(sources))
        commit(app, repo, edit)


# -- out of a bundle


def _into(target: str, source: str, sources: tuple[str, ...]) -> Path:
    return Path(target) if len(sources) == 1 else Path(target, posixpath.basename(address_of(source).path))


def _is_folder(bundle: Bundle, path: str) -> bool:
    return not path or bundle.entry(path).kind == "folder"


def _copy_out(app: App, typed: str, target: Path, *, recursive: bool, force: bool) -> int:
    source = address_of(typed)
    bundle = bundle_at(app, source, typed)
    erased: tuple[str, ...] = ()
    with showing(source):
        is_folder = _is_folder(bundle, source.path)
    if not is_folder:
        destination = target / posixpath.basename(source.path) if target.is_dir() else target
        with app.progress("cp") as bar:
            bundle.download_file(source.path, destination, force=force, progress=bar)
    elif recursive:
        app.resumes = True
        with app.progress("cp") as bar:
            erased = bundle.download(target, path=source.path, force=force, progress=bar).erased
    else:
        raise InvalidInput(f"'{source.path or source.repo}' is a folder", "add --recursive")
    app.out.object({"bundle": bundle.id, "path": source.path, "destination": str(target), "erased": list(erased)})
    return app.dialect.partial_exit if report_erased(app, erased) else OK
