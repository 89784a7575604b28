"""Short forms of long verbs: ``upload``, ``download``, ``label``. They accept addresses, and all options of the long verb."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, Final

import click

from sheaf.api import Address, parse_ref
from sheaf.cli import options
from sheaf.cli.commands import bundle, label
from sheaf.cli.commands import upload as uploading
from sheaf.cli.inputs import address_of
from sheaf.cli.verb_tree import Verb
from sheaf.cli.words import make_completable
from sheaf.errors import InvalidInput

__all__ = ["DOWNLOAD", "LABEL", "UPLOAD"]


def _short(
    long: Verb,
    arguments: list[click.Parameter],
    without: Container[str],
    translate: Callable[..., dict[str, Any]],
    *,
    text: str,
    example: str,
) -> Verb:
    """Return a short form of a verb. ``translate`` turns its arguments into the options that it replaces."""
    names = {argument.name for argument in arguments}
    run = long.callback

    def callback(**given: Any) -> Any:
        mine = {name: given.pop(name) for name in [*given] if name in names}
        return run(**translate(**mine), **given) if run else None

    params = [*arguments, *(param for param in long.params if param.name not in without)]
    made = Verb(
        None, example=example, exits=long.exits, fields=long.listed, params=params, callback=callback, help=text
    )
    make_completable(made.params)
    return made


def _whole(text: str, verb: str) -> Address:
    """Parse an address without a path. Raises InvalidInput if it has one."""
    address = address_of(text)
    if address.path:
        raise InvalidInput(f"'{text}': {verb} does not accept a path", _PATHS[verb])
    return address


_PATHS: Final = {
    "upload": "add files to a bundle with `sheaf cp LOCAL REPO@BRANCH:PATH`",
    "download": "copy a part of a bundle with `sheaf cp -r REPO@REF:PATH LOCAL`",
    "label": "write REPO@REF: a label points to a whole bundle",
}


def _upload(folder: Any, target: str) -> dict[str, Any]:
    address = _whole(target, "upload")
    ref = parse_ref(address.ref or "main")
    if ref.form not in ("name", "branch") or ref.back:
        raise InvalidInput(f"'{address.ref}' is not a branch", "write REPO or REPO@BRANCH")
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
    text="Upload a folder as a new bundle on a branch (default: main). Short for 'bundle upload'.",
    example='sheaf upload ./faces faces -m "another delivery"',
)

DOWNLOAD: Final = _short(
    bundle.download,
    [click.Argument(["source"], metavar="REPO[@REF]"), click.Argument(["folder"], type=options.PLACE, metavar="DIR")],
    {"destination", "repo", "bundle", "label", "branch"},
    _download,
    text="Download a bundle to an empty folder. Short for 'bundle download'.",
    example="sheaf download faces@init ./copy",
)

LABEL: Final = _short(
    label.set_,
    [click.Argument(["source"], metavar="REPO[@REF]"), click.Argument(["name"], metavar="LABEL")],
    {"repo", "bundle", "label"},
    _label,
    text="Set a label on a bundle; an existing label moves. Short for 'label set'.",
    example="sheaf label faces@main production",
)
