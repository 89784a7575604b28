"""``completion``: the script that makes a shell complete verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from sheaf.cli.app import App
from sheaf.cli.tree import verb
from sheaf.errors import InvalidInput

__all__ = ["completion"]


@verb(example='eval "$(sheaf completion bash)"    # in ~/.bashrc')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, app: App, shell: str) -> None:
    """Print the completion script of a shell: bash, zsh or fish."""
    kind = get_completion_class(shell)
    if kind is None:
        raise InvalidInput(f"there is no completion for {shell}")
    name = app.dialect.name
    click.echo(kind(context.find_root().command, {}, name, f"_{name.upper()}_COMPLETE").source())
