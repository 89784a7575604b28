"""Uploads at the end, and the checks at the start that keep them from failing for what could be known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from sheaf.errors import Unavailable
from sheaf.sidecar.children import Child
from sheaf.sidecar.command_lines import UploadCommand, value_of
from sheaf.sidecar.command_queue import Command
from sheaf.sidecar.coordination import write_whole

__all__ = ["upload_checks", "upload_of"]

_SHOWN: Final = 5  # each one has a line of its own before
_SKIPPED: Final = re.compile(r"skipped (.*): ")
_UPLOADED: Final = re.compile(r"(?:Uploaded|Unchanged) bundle id:(\w+)")


def upload_checks(uploads: Iterable[UploadCommand], program: Sequence[str]) -> Iterator[Command]:
    """What has to fail at the start rather than after hours of the application's work."""
    uploads = tuple(uploads)
    for upload in uploads:
        words = (*program, *upload.words[:2], "--help", *upload.words[2:])  # unknown options fail
        yield Command(_name(upload), words, is_quiet=True)
    for repo in dict.fromkeys(upload.repo for upload in uploads):
        yield Command(f"repo {repo}", (*program, "repo", "get", "--repo", repo), is_quiet=True)


def upload_of(
    upload: UploadCommand, program: Sequence[str], bundles: list[str], report: Callable[[str], None]
) -> Command:
    """The command of an upload. ``bundles`` is given the id of what it has committed, ``report`` what that lacks."""
    return Command(_name(upload), (*program, *upload.words), partial(_uploaded, upload, bundles, report))


def _name(upload: UploadCommand) -> str:
    return f"upload {value_of(upload.words, '--path')}"


def _uploaded(upload: UploadCommand, bundles: list[str], report: Callable[[str], None], child: Child) -> None:
    found = [match[1] for line in child.lines if (match := _UPLOADED.match(line))]
    if not found:
        raise Unavailable(f"{child.name}: it has printed no bundle id", "see the log of the sidecar")
    bundles.append(found[-1])
    if skipped := [match[1] for line in child.complaints if (match := _SKIPPED.match(line))]:
        shown = ", ".join(skipped[-_SHOWN:]) + (", …" if len(skipped) > _SHOWN else "")
        report(f"sidecar: {child.name}: bundle {found[-1]} lacks what was skipped: {shown}")
    if upload.id_file is None:
        return
    try:
        write_whole(upload.id_file, f"{found[-1]}\n")
    except OSError as error:
        message = f"bundle {found[-1]} is saved, but its id can't be written to {upload.id_file}: {error.strerror}"
        raise Unavailable(message, "check the volume of the id file") from error
