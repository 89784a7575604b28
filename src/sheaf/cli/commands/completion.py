"""``completion``: print the script that makes a shell complete verbs, options, and names in a store."""

from __future__ import annotations

import os
import re
from typing import ClassVar, Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from sheaf.cli.app import App
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput

__all__ = ["Bash", "completion"]

_NEEDS_QUOTING: Final = re.compile(r"([^\w@%+=:,./~-])")


@add_completion_class
class Bash(BashComplete):
    """Completion for bash of words with ``@`` and ``:``, where bash splits a word in two.

    Bash expects only the part after the last split. So the script passes the line as it was typed, and the part that
    bash considers the word. Folders get no blank after them, since a file name follows.
    """

    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = """\
%(complete_func)s() {
    local IFS=$'\\n' response reply type value
    response=$(env SHEAF_LINE="${COMP_LINE:0:COMP_POINT}" SHEAF_WORD="$2" %(complete_var)s=bash_complete "$1")
    COMPREPLY=()
    for reply in $response; do
        type=${reply%%%%,*} value=${reply#*,}
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value"); [[ $value == */ ]] && compopt -o nospace ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["SHEAF_LINE"]  # noqa: TID251 - click passes this through the environment
        words = split_arg_string(line)
        is_new = line.endswith((" ", "\t")) and not line.endswith("\\ ")
        return (words[1:], "") if is_new else (words[1:-1], words[-1])

    def complete(self) -> str:
        args, incomplete = self.get_completion_args()
        word = incomplete.partition("=")[2] if incomplete.startswith("-") and "=" in incomplete else incomplete
        seen = os.environ["SHEAF_WORD"].lstrip("'\"").replace("\\", "")  # noqa: TID251 - as above
        split = word[: len(word) - len(seen)] if word.endswith(seen) else ""
        is_quoted = os.environ["SHEAF_WORD"].startswith(("'", '"'))  # noqa: TID251 - as above
        found = self.get_completions(args, incomplete)
        return "\n".join(self.format_completion(_tail(item, split, is_quoted)) for item in found)


def _tail(item: CompletionItem, split: str, is_quoted: bool) -> CompletionItem:
    """Return an item without the text before the word that bash completes, escaped so that bash reads one word."""
    value = str(item.value).removeprefix(split)
    return CompletionItem(value if is_quoted else _NEEDS_QUOTING.sub(r"\\\1", value), item.type)


@verb(example='eval "$(sheaf completion bash)"    # in ~/.bashrc')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, app: App, shell: str) -> None:
    """Print the completion script for bash, zsh or fish."""
    kind = get_completion_class(shell)
    if kind is None:
        raise InvalidInput(f"completion is not supported for {shell}")
    name = app.dialect.name
    click.echo(kind(context.find_root().command, {}, name, f"_{name.upper()}_COMPLETE").source())
