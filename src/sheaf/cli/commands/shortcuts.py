"""Short forms of long verbs: ``upload``, ``download``, ``label``. They take addresses, and every option of the long verb."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, Final

import click

from sheaf.cli import options
from sheaf.cli.commands import bundle, label
from sheaf.cli.commands import upload as uploading
from sheaf.cli.inputs import address_of
from sheaf.cli.verb_tree import Verb
from sheaf.cli.words import make_completable
from sheaf.errors import InvalidInput
from sheaf.model.refs import Address, parse_ref

__all__ = ["DOWNLOAD", "LABEL", "UPLOAD"]


def _short(
    long: Verb,
    arguments: list[click.Parameter],
    without: Container[str],
    translate: Callable[..., dict[str, Any]],
    *,
    help: str,
    example: str,
) -> Verb:
    """A verb that does what another one does; ``translate`` makes the arguments into the options that it lacks."""
    names = {argument.name for argument in arguments}
    run = long.callback

    def callback(**given: Any) -> Any:
        mine = {name: given.pop(name) for name in [*given] if name in names}
        return run(**translate(**mine), **given) if run else None

    params = [*arguments, *(param for param in long.params if param.name not in without)]
    made = Verb(
        None, example=example, exits=long.exits, fields=long.listed, params=params, callback=callback, help=help
    )
    make_completable(made.params)
    return made


def _whole(text: str, verb: str) -> Address:
    """An address without a path. Raises InvalidInput."""
    address = address_of(text)
    if address.path:
        raise InvalidInput(f"'{text}': {verb} takes no path", _PATHS[verb])
    return address


_PATHS: Final = {
    "upload": "files go into a bundle with `sheaf cp LOCAL REPO@BRANCH:PATH`",
    "download": "a part of a bundle comes with `sheaf cp -r REPO@REF:PATH LOCAL`",
    "label": "a label is set on a whole bundle: write REPO@REF",
}


def _upload(folder: Any, target: str) -> dict[str, Any]:
    address = _whole(target, "upload")
    ref = parse_ref(address.ref or "main")
    if ref.form not in ("name", "branch") or ref.back:
        raise InvalidInput(f"'{address.ref}' is not a branch", "an upload goes to REPO or REPO@BRANCH")
    return {"path": folder, "repo": address.repo, "branch": ref.name}


def _download(source: str, folder: Any) -> dict[str, Any]:
    address = _whole(source, "download")
    choice = {"bundle": address.ref, "label": None, "branch": None}
    return {"repo": address.repo, "destination": folder, **choice}


def _label(source: str, name: str) -> dict[str, Any]:
    address = _whole(source, "label")
    return {"repo": address.repo, "bundle": address.ref or "branch:main", "label": name}


UPLOAD: Final = _short(
    uploading.upload,
    [
        click.Argument(["folder"], type=options.PLACE, metavar="DIR"),
        click.Argument(["target"], metavar="REPO[@BRANCH]"),
    ],
    {"path", "repo", "branch"},
    _upload,
    help="Upload a folder as a new bundle of a branch (main, if none is named). Short for 'bundle upload'.",
    example='sheaf upload ./faces faces -m "another delivery"',
)

DOWNLOAD: Final = _short(
    bundle.download,
    [click.Argument(["source"], metavar="REPO[@REF]"), click.Argument(["folder"], type=options.PLACE, metavar="DIR")],
    {"destination", "repo", "bundle", "label", "branch"},
    _download,
    help="Write a bundle's files to an empty folder. Short for 'bundle download'.",
    example="sheaf download faces@init ./copy",
)

LABEL: Final = _short(
    label.set_,
    [click.Argument(["source"], metavar="REPO[@REF]"), click.Argument(["name"], metavar="LABEL")],
    {"repo", "bundle", "label"},
    _label,
    help="Set a label on a bundle; one that is elsewhere moves. Short for 'label set'.",
    example="sheaf label faces@main production",
)
