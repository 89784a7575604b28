"""Changes of one branch as users write them, on a command line or in a script: an edit with the rules of rm, mv and cp."""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sheaf.api import Address
from sheaf.cli.app import App
from sheaf.cli.inputs import address_of, bundle_at, is_address, is_local, repo_at, showing, standard_input
from sheaf.cli.output.text import quote
from sheaf.cli.output.views import bundle_record
from sheaf.errors import InvalidInput, NotFound
from sheaf.local_errors import translated

if TYPE_CHECKING:
    from sheaf.repo.edit import Edit
    from sheaf.repo.repo import Repo

__all__ = ["BranchEdit", "Line", "branch_of", "commit", "lines_of", "path_of"]


@dataclass(frozen=True, slots=True)
class Line:
    """One change. ``number``: its line in a script, 0 for a command line."""

    number: int
    words: list[str]


def lines_of(script: bytes, name: str) -> Iterator[Line]:
    """Yield the changes of a script. Raises InvalidInput with the line that can't be read."""
    try:
        text = script.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"{name} is not valid UTF-8") from None
    for number, line in enumerate(text.split("\n"), 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise InvalidInput(f"line {number}: {error}", "quote words as in a shell") from None
        if words:
            yield Line(number, words)


class BranchEdit:
    """Makes changes in an edit. A path of the branch that ends in a slash, or is a folder, is one to put things into."""

    def __init__(self, app: App, edit: Edit, *, is_input_read: bool = False) -> None:
        """``is_input_read``: True if standard input is the script."""
        self._app = app
        self._edit = edit
        self._is_input_read = is_input_read

    def do(self, words: Sequence[str]) -> None:
        """Make the change that a line names. Raises InvalidInput if there is no such change."""
        name, *rest = words
        if name not in _CHANGES:
            raise InvalidInput(f"unknown change '{name}'", f"write one of: {', '.join(_CHANGES)}")
        change, least, usage = _CHANGES[name]
        is_recursive = rest[:1] in (["-r"], ["--recursive"]) and name in ("rm", "cp")
        operands = rest[is_recursive:]
        if operands and operands[0].startswith("-") and operands[0] not in ("-", "--"):
            raise InvalidInput(f"unknown option '{operands[0]}' of {name}", f"write: {usage}")
        operands = operands[operands[:1] == ["--"] :]
        if len(operands) < least:
            raise InvalidInput(f"{name} needs {least} {'word' if least == 1 else 'words'} or more", f"write: {usage}")
        change(self, operands, is_recursive)

    # -- changes -------------------------------------------------------------------------------------------------------

    def remove(self, paths: Sequence[str], is_recursive: bool = False) -> None:
        """Remove files, and with ``is_recursive`` folders."""
        for path in paths:
            if self._edit.is_folder(path) and not is_recursive:
                raise InvalidInput(f"'{path or '/'}' is a folder", "add -r to remove it with its contents")
            self._edit.remove(path)

    def move(self, paths: Sequence[str], is_recursive: bool = False) -> None:
        """Move all paths but the last one to the last one."""
        *sources, target = paths
        for source in sources:
            self._edit.move(source, self._landing(target, posixpath.basename(source.strip("/")), len(sources)))

    def copy(self, paths: Sequence[str], is_recursive: bool = False) -> None:
        """Copy all paths but the last one, of this branch, of other bundles or local ones, to the last one."""
        *sources, target = paths
        for source in sources:
            if is_local(source):
                self.copy_local(Path(source).expanduser(), target, is_recursive, len(sources))
            elif is_address(source):
                self.copy_bundle(source, target, is_recursive, len(sources))
            else:
                self._copy_here(source, target, is_recursive, len(sources))

    def copy_local(self, source: Path, target: str, is_recursive: bool, count: int = 1) -> None:
        """Copy a local file or folder. ``count``: number of sources of one target."""
        if not os.path.lexists(source):
            raise NotFound(f"{quote(str(source))}: no such file or folder")
        if source.is_dir() and not is_recursive:
            raise InvalidInput(f"{quote(str(source))} is a folder", "add --recursive")
        name = "" if source.name in {"", ".", ".."} else source.name
        base = self._landing(target, name, count)
        if source.is_dir():
            self._edit.put_folder(base, source)
        elif source.is_symlink():
            self._edit.symlink(base, str(source.readlink()))
        elif source.is_file():
            self._edit.put_file(base, source)
        else:
            raise InvalidInput(
                f"{quote(str(source))} is not a file, folder or symbolic link",
                "copy only files, folders and symbolic links",
            )

    def copy_bundle(self, typed: str, target: str, is_recursive: bool, count: int = 1) -> None:
        """Copy a file or folder of a bundle of any repo, by reference."""
        source = address_of(typed)
        bundle = bundle_at(self._app, source, typed)
        with showing(source):
            is_folder = not source.path or bundle.entry(source.path).kind == "folder"
        if is_folder and not is_recursive:
            raise InvalidInput(f"'{source.path or source.repo}' is a folder", "add --recursive")
        base = self._landing(target, posixpath.basename(source.path), count)
        for path in [source.path] if source.path else [entry.path for entry in bundle.ls()]:
            self._edit.copy(path, base if source.path else posixpath.join(base, path), source=bundle)

    def _copy_here(self, source: str, target: str, is_recursive: bool, count: int) -> None:
        if self._edit.is_folder(source) and not is_recursive:
            raise InvalidInput(f"'{source}' is a folder", "add -r")
        self._edit.copy(source, self._landing(target, posixpath.basename(source.strip("/")), count))

    def append(self, paths: Sequence[str], is_recursive: bool = False) -> None:
        """Append local files to the file that the first path names; ``-`` is standard input."""
        target, *sources = paths
        for source in sources:
            if source == "-":
                if self._is_input_read:
                    raise InvalidInput("standard input was already read", "name a file to append")
                self._is_input_read = True
                self._edit.append(target, standard_input())
                continue
            if Path(source).is_dir():
                raise InvalidInput(f"{quote(source)} is a folder", "name a file")
            with translated(f"read {source}"), open(Path(source).expanduser(), "rb") as file:
                self._edit.append(target, file)

    def mkdir(self, paths: Sequence[str], is_recursive: bool = False) -> None:
        """Create folders and those above them."""
        for path in paths:
            self._edit.mkdir(path)

    def _landing(self, target: str, name: str, count: int) -> str:
        """Return the path of a copy: the target itself, or below it if that is a folder."""
        folder = target.strip("/")
        if not folder or target.endswith("/") or self._edit.is_folder(folder):
            return posixpath.join(folder, name)
        if count > 1:
            raise InvalidInput(f"'{target}' is not a folder", f"to create it, write {target}/")
        return folder


_Change = Callable[[BranchEdit, Sequence[str], bool], None]

#: Changes of a script: the method, the least number of words, and the form of a line.
_CHANGES: Final[dict[str, tuple[_Change, int, str]]] = {
    "append": (BranchEdit.append, 2, "append PATH LOCAL..."),
    "cp": (BranchEdit.copy, 2, "cp [-r] SOURCE... PATH"),
    "mkdir": (BranchEdit.mkdir, 1, "mkdir PATH..."),
    "mv": (BranchEdit.move, 2, "mv PATH... PATH"),
    "rm": (BranchEdit.remove, 1, "rm [-r] PATH..."),
}


# -- branches


def branch_of(app: App, typed: Sequence[str]) -> tuple[Repo, str]:
    """Return the repo and branch of addresses. Raises InvalidInput if they aren't all on one branch."""
    addresses = [address_of(text) for text in typed]
    names = {(address.repo, (address.ref or "main").removeprefix("branch:")) for address in addresses}
    if len(names) > 1:
        raise InvalidInput("the paths are not on one branch", "name paths of one REPO@BRANCH")
    repo = repo_at(app, addresses[0], typed[0])
    ref = (addresses[0].ref or "main").removeprefix("branch:")
    if ref != "main":
        _ensure_branch(repo, ref)
    return repo, ref


def path_of(typed: str) -> str:
    """Return the path of an address; with a slash at its end if something is to be put into it."""
    address: Address = address_of(typed)
    return address.path + "/" * bool(address.path and typed.endswith("/"))


def _ensure_branch(repo: Repo, name: str) -> None:
    """Check that a branch exists. Raises InvalidInput for another ref, NotFound otherwise.

    A change must not create a branch, because the name may be mistyped.
    """
    if any(branch.name == name for branch in repo.branches()):
        return
    label = name.removeprefix("label:")
    hint = f"name a branch, such as {repo.name}@main:PATH"
    if any(found.name == label for found in repo.labels(label)):
        raise InvalidInput(
            f"'{label}' is a label of {repo.name}: only branches can be changed",
            f"{hint}, then move the label with `sheaf label set`",
        )
    try:
        repo.bundle(name)
    except NotFound:
        raise NotFound(
            f'didn\'t find branch "{name}"', f"create it with `sheaf branch create --repo {repo.name} --branch {name}`"
        ) from None
    raise InvalidInput(f"'{name}' is a bundle of {repo.name}: only branches can be changed", hint)


def commit(app: App, repo: Repo, edit: Edit) -> None:
    """Commit an edit, and print the new bundle."""
    bundle = edit.commit()
    app.committed = bundle.id
    app.out.line(f"Uploaded bundle id:{bundle.id}")
    app.out.object({**bundle_record(bundle), "repo": repo.name})
