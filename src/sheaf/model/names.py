"""Names that users choose: of repos, labels and branches."""

from __future__ import annotations

import re

from sheaf.errors import InvalidInput
from sheaf.model.ids import is_ksuid, is_version

__all__ = ["REF_FORMS", "check_ref_name", "check_repo_name"]

_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,128}")
_REF = re.compile(r"[A-Za-z0-9._+-]{1,128}")

#: The prefixes of a ref, as in ``label:x``; none of these words can be a name itself.
REF_FORMS = ("label", "branch", "bundle", "version")


def check_repo_name(name: str) -> str:
    """Return the name of a repo. Raises InvalidInput unless it has 1 to 8 parts of letters, digits, ``.`` ``_`` ``-``."""
    parts = name.split("/")
    if len(parts) > 8 or not all(_SEGMENT.fullmatch(part) and part not in (".", "..") for part in parts):
        raise InvalidInput(
            f"invalid repo name '{name}'",
            "use 1 to 8 parts of letters, digits, '.', '_' or '-', separated by '/', such as team/faces",
        )
    return name


def check_ref_name(name: str) -> str:
    """Return the name of a label or a branch. Raises InvalidInput if it is invalid or looks like an id or a hash."""
    if not _REF.fullmatch(name) or name in REF_FORMS:
        raise InvalidInput(f"invalid label or branch name '{name}'", "use 1 to 128 letters, digits, '.', '_', '+', '-'")
    if is_ksuid(name) or is_version(name):
        raise InvalidInput(
            f"'{name}' looks like a bundle id or a version hash", "choose a name that can't be confused with one"
        )
    return name
