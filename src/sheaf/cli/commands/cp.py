"""``cp``: copy files and folders to, from and between bundles."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sheaf.api import Address
from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.erase import report_erased
from sheaf.cli.exits import OK
from sheaf.cli.inputs import address_of, bundle_at, is_address, repo_at, showing
from sheaf.cli.output.text import quote
from sheaf.cli.output.views import bundle_record
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.edit import Edit
    from sheaf.repo.repo import Repo

__all__ = ["cp"]


@verb(
    example='sheaf cp ./new.jpg faces@main:train/ --message "one more"\nsheaf cp faces@init:labels.csv ./labels.csv',
    exits=(3, 4, 5, 6, 8, 9, 10, 11),
)
@click.argument("source", metavar="LOCAL|REPO@REF:PATH")
@click.argument("target", metavar="LOCAL|REPO@BRANCH:PATH")
@click.option("-m", "--message", metavar="TEXT", help="Message of the new bundle. Default: the arguments of cp.")
@click.option("-r", "--recursive", is_flag=True, help="Copy a folder and its contents.")
@click.option("--overwrite", is_flag=True, help="Write to a non-empty local folder, or replace a local file.")
@options.allow_erased
def cp(
    app: App,
    *,
    source: str,
    target: str,
    message: str | None,
    recursive: bool,
    overwrite: bool,
    allow_erased: bool,
) -> int:
    """Copy files to, from and between bundles.

    The arguments are LOCAL REPO@BRANCH:PATH, REPO@REF:PATH LOCAL, or REPO@REF:PATH REPO@BRANCH:PATH. A copy to a bundle
    creates one new bundle on that branch (default: main); other branches must exist. If the target PATH ends in a slash
    or is a folder, the copy is placed inside it. Files that match .sheafignore are skipped, as in an upload. Write a
    local name that contains @ or : with a leading ./
    """
    if not is_address(target):
        if not is_address(source):
            raise InvalidInput("neither argument is an address in a store", "write one as REPO@REF:PATH")
        return _copy_out(app, source, Path(target), recursive=recursive, force=overwrite)
    message = message or f"cp {source} {target}"
    if is_address(source):
        _copy_across(app, source, target, message, recursive=recursive)
    else:
        _copy_in(app, Path(source), target, message, recursive=recursive, allow_erased=allow_erased)
    return OK


# -- into a bundle


def _copy_in(app: App, source: Path, target: str, message: str, *, recursive: bool, allow_erased: bool) -> None:
    if not os.path.lexists(source):
        raise NotFound(f"{quote(str(source))}: no such file or folder")
    if source.is_dir() and not recursive:
        raise InvalidInput(f"{quote(str(source))} is a folder", "add --recursive")
    repo, destination = _destination(app, target)
    name = "" if source.name in {"", ".", ".."} else source.name
    base = _landing(repo, destination, name, into=target.endswith(("/", ":")))
    with repo.edit(branch=destination.ref or "main", message=message, allow_erased=allow_erased) as edit:
        if source.is_dir():
            edit.put_folder(base, source)
        else:
            _put(edit, base, source)
        _commit(app, repo, edit)


def _put(edit: Edit, path: str, local: Path) -> None:
    if local.is_symlink():
        edit.symlink(path, str(local.readlink()))
    elif local.is_file():
        edit.put_file(path, local)
    else:
        raise InvalidInput(
            f"{quote(str(local))} is not a file, folder or symbolic link", "copy only files, folders and symbolic links"
        )


def _copy_across(app: App, typed: str, target: str, message: str, *, recursive: bool) -> None:
    source = address_of(typed)
    bundle = bundle_at(app, source, typed)
    with showing(source):
        is_folder = _is_folder(bundle, source.path)
    if is_folder and not recursive:
        raise InvalidInput(f"'{source.path or source.repo}' is a folder", "add --recursive")
    repo, destination = _destination(app, target)
    base = _landing(repo, destination, posixpath.basename(source.path), into=target.endswith(("/", ":")))
    with repo.edit(branch=destination.ref or "main", message=message) as edit:
        for path in [source.path] if source.path else [entry.path for entry in bundle.ls()]:
            edit.copy(path, base if source.path else posixpath.join(base, path), source=bundle)
        _commit(app, repo, edit)


def _destination(app: App, target: str) -> tuple[Repo, Address]:
    destination = address_of(target)
    repo = repo_at(app, destination, target)
    ref = destination.ref.removeprefix("branch:") if destination.ref else None
    if ref not in (None, "main"):
        _ensure_branch(repo, ref)
    return repo, Address(destination.repo, ref, destination.path)


def _ensure_branch(repo: Repo, name: str) -> None:
    """Check that a branch exists. Raises InvalidInput for a label, NotFound otherwise.

    A copy must not create a branch, because the name may be mistyped.
    """
    if any(branch.name == name for branch in repo.branches()):
        return
    label = name.removeprefix("label:")
    if any(found.name == label for found in repo.labels(label)):
        raise InvalidInput(
            f"'{label}' is a label of {repo.name}: files can only be copied to a branch",
            f"copy to a branch, such as {repo.name}@main:PATH, then move the label with `sheaf label set`",
        )
    raise NotFound(
        f'didn\'t find branch "{name}"', f"create it with `sheaf branch create --repo {repo.name} --branch {name}`"
    )


def _landing(repo: Repo, destination: Address, name: str, *, into: bool) -> str:
    """Return the path of the copy in the bundle: the path itself, or below it if that is a folder."""
    if into or not destination.path or _is_folder_on(repo, destination):
        return posixpath.join(destination.path, name)
    return destination.path


def _is_folder_on(repo: Repo, destination: Address) -> bool:
    try:
        bundle = repo.bundle(f"branch:{destination.ref or 'main'}")
    except NotFound:
        return False
    try:
        return bundle.entry(destination.path).kind == "folder"
    except NotFound:
        return False


def _commit(app: App, repo: Repo, edit: Edit) -> None:
    bundle = edit.commit()
    app.committed = bundle.id
    app.out.line(f"Uploaded bundle id:{bundle.id}")
    app.out.object({**bundle_record(bundle), "repo": repo.name})


# -- out of a bundle


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
