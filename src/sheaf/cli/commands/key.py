"""``store key``: the keys that open an encrypted store."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sheaf.cli.app import App
from sheaf.cli.inputs import confirm, first_line
from sheaf.cli.options import PLACE, stack, yes
from sheaf.cli.output.render import Cell, View
from sheaf.cli.output.text import quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput
from sheaf.settings.secrets import keep_in_keyring, new_key, parse_key, read_key_file, write_key_file

if TYPE_CHECKING:
    from sheaf.repo.store_keys import KeyInfo

__all__ = ["PASSPHRASE", "add", "key_at", "list_", "passphrase", "remove", "rotate", "secret_of_settings"]

PASSPHRASE: Final = click.option(
    "--passphrase", "asks", is_flag=True, help="Use a passphrase, read from a prompt or stdin."
)
_NEW: Final = stack(
    click.option("--new-key-file", type=PLACE, metavar="FILE", help="Key file; created if it does not exist."),
    PASSPHRASE,
    click.option("--keyring", "to_keyring", is_flag=True, help="Create a key in the keyring of the current user."),
    click.option("--note", default="", metavar="TEXT", help="Description of the key, stored unencrypted."),
)


def _record(key: KeyInfo) -> dict[str, Any]:
    return {**dataclasses.asdict(key), "time": key.time.isoformat()}


def _cells(key: KeyInfo) -> tuple[Cell, ...]:
    return (key.id, key.kind, key.time, "opened it" if key.is_used else "", key.note)


_VIEW: Final[View[KeyInfo]] = View(
    line=lambda key: key.id, record=_record, columns=("ID", "KIND", "TIME", "STATE", "NOTE"), cells=_cells
)


@verb(name="list", example="sheaf store key list", exits=(3, 5, 6, 8, 9), fields=lambda: {"": _VIEW})
def list_(app: App) -> None:
    """List the keys that open the store."""
    app.out.listing(_VIEW, app.store.keys.list())


@verb(
    example="sheaf store key add --new-key-file ~/team.key --note team",
    exits=(3, 5, 6, 8, 9, 10),
    fields=lambda: {"": _VIEW},
)
@_NEW
def add(app: App, *, new_key_file: Path | None, asks: bool, to_keyring: bool, note: str) -> None:
    """Add a key or passphrase that opens the store."""
    _say(app, app.store.keys.add(_chosen(app, new_key_file, asks=asks, to_keyring=to_keyring), note=note))


@verb(example="sheaf store key remove $id", exits=(3, 4, 5, 6, 8, 9, 10))
@click.argument("id", metavar="ID")
@yes
def remove(app: App, id: str, *, yes: bool) -> None:
    """Remove a key, so that it no longer opens the store. Asks before it removes the key in use.

    Users who opened the store with this key may have kept the key that encrypts all data: create a new store for data
    that they must not read.
    """
    there = app.store.keys.list()
    found = next((key for key in there if key.id == id), None)
    # The last key can't be removed anyway, so there is no question to ask.
    if found is not None and found.is_used and len(there) > 1:
        confirm(f"Remove key {id}, which you are using now?", is_sure=yes)
    app.store.keys.remove(id)
    app.out.object({"removed": id})
    app.out.line(f"removed: {id}{f' ({quote(found.note)})' if found and found.note else ''}")


@verb(
    example="sheaf store key rotate --new-key-file ~/new.key", exits=(3, 4, 5, 6, 8, 9, 10), fields=lambda: {"": _VIEW}
)
@_NEW
def rotate(app: App, *, new_key_file: Path | None, asks: bool, to_keyring: bool, note: str) -> None:
    """Replace the key in use with another one. Stored data is not rewritten."""
    _say(app, app.store.keys.rotate(_chosen(app, new_key_file, asks=asks, to_keyring=to_keyring), note=note))


def _say(app: App, key: KeyInfo) -> None:
    app.out.one(_VIEW, dataclasses.replace(key, is_used=False))


# -- sources of secrets -------------------------------------------------------------------------------------------


def _chosen(app: App, new_key_file: Path | None, *, asks: bool, to_keyring: bool) -> bytes | str:
    # Open the store before a passphrase is requested or a file is created: it may not exist.
    store = app.store
    if (new_key_file is not None) + asks + to_keyring != 1:
        raise InvalidInput("expected exactly one new key", "pass one of --new-key-file FILE, --passphrase, --keyring")
    if new_key_file is not None:
        return key_at(app, new_key_file)
    if asks:
        return passphrase(app)
    key = new_key()
    keep_in_keyring(store.id, key)
    return key


def key_at(app: App, path: Path) -> bytes:
    """Return the key in a file, which is created if it does not exist."""
    if path.exists():
        return read_key_file(path)
    key = new_key()
    write_key_file(path, key)
    app.warn(f"key written to {quote(str(path))}; keep a copy elsewhere: the store can't be read without it")
    return key


def passphrase(app: App) -> str:
    """Read a new passphrase from two prompts, or from the first line of stdin."""
    if app.environment.stderr_is_terminal and sys.stdin is not None and sys.stdin.isatty():
        phrase = str(click.prompt("new passphrase", hide_input=True, confirmation_prompt=True, err=True))
    else:
        phrase = first_line()
    if not phrase:
        raise InvalidInput("the passphrase is empty", "type one, or pass it as the first line of stdin")
    return phrase


def secret_of_settings(app: App) -> bytes | str | None:
    """Return the secret for a new store, from flags, environment and configuration; None if there is none."""
    if file := app.settings.options.get("key_file"):
        return key_at(app, Path(file))
    if text := app.environment.text("SHEAF_KEY"):
        return parse_key(text.encode(), "SHEAF_KEY")
    return app.environment.text("SHEAF_PASSPHRASE") or None
