"""Refs and addresses, with which users name bundles, as text and as values."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from sheaf.errors import InvalidInput
from sheaf.model.ids import is_ksuid, is_ksuid_prefix, is_version
from sheaf.model.names import REF_FORMS, check_ref_name, check_repo_name
from sheaf.model.paths import check_path

__all__ = ["Address", "Form", "Ref", "parse_address", "parse_ref"]

Form = Literal["name", "label", "branch", "bundle", "version"]
_BACK = re.compile(r"(.*)~([0-9]{0,9})")


class Ref(Struct, frozen=True):
    """A way to name a bundle. ``back``: how many first parents to follow from it.

    ``form`` "name": a label or a branch, whichever exists, or else the beginning of a bundle's id.
    """

    form: Form
    name: str
    back: int = 0


class Address(Struct, frozen=True):
    """``repo@ref:path``; without a ref the head of ``main``, without a path the whole bundle."""

    repo: str
    ref: str | None = None
    path: str = ""


def parse_ref(text: str) -> Ref:
    """Parse a ref that a user typed. Raises InvalidInput.

    ``label:x``, ``branch:x``, ``bundle:x``, ``version:x`` are explicit; anything else is classified by its shape (bundle
    id, version hash), else it is a name. Ids may be shortened to their first 8 characters.
    ``REF~N`` is N first parents back, ``REF~`` one.
    """
    base, back = text, 0
    if match := _BACK.fullmatch(text):
        base, back = match[1], int(match[2] or 1)
    form, colon, rest = base.partition(":")
    if colon and form in REF_FORMS:
        return Ref(_explicit(form, rest, text), rest, back)
    if is_ksuid(base):
        return Ref("bundle", base, back)
    if is_version(base):
        return Ref("version", base, back)
    return Ref("name", check_ref_name(base), back)


def _explicit(form: str, name: str, text: str) -> Form:
    if form == "bundle" and is_ksuid_prefix(name):
        return "bundle"
    if form == "version" and is_version(name):
        return "version"
    if form == "label":
        check_ref_name(name)
        return "label"
    if form == "branch":
        check_ref_name(name)
        return "branch"
    shape = "8 to 27 letters and digits" if form == "bundle" else "8 to 64 hex digits"
    raise InvalidInput(f"'{text}' is not a {form}", f"give {shape}")


def parse_address(text: str) -> Address:
    """Parse ``repo``, ``repo@ref``, ``repo:path`` or ``repo@ref:path``. Raises InvalidInput."""
    head, at, tail = text.partition("@")
    # The name of a repo can't contain a colon, so this "@" is a part of the path.
    if not at or ":" in head:
        repo, _, path = text.partition(":")
        return Address(check_repo_name(repo), None, _path(path))
    form, colon, rest = tail.partition(":")
    if colon and form in REF_FORMS:
        name, _, path = rest.partition(":")
        ref = f"{form}:{name}"
    else:
        ref, path = form, rest
    parse_ref(ref)
    return Address(check_repo_name(head), ref, _path(path))


def _path(text: str) -> str:
    trimmed = text.strip("/")
    return check_path(trimmed) if trimmed else ""
