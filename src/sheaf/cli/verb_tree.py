"""The tree of verbs, based on click: loaded lazily, with global options in any position."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import click
from click.shell_completion import CompletionItem

from sheaf.cli.app import App, Dialect
from sheaf.cli.output.render import View
from sheaf.cli.words import make_completable
from sheaf.errors import Bug
from sheaf.settings.settings import Environment

__all__ = ["MissingOptions", "Verb", "VerbTree", "check_text", "verb", "verbs_of"]

#: Returns the views of what a verb lists, by option.
Listed = Callable[[], Mapping[str, View[Any]]]

_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
#: Exit codes of every verb; a verb's own list has the others.
_USUAL_EXITS: Final = (0, 2)

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_LIKENESS: Final = 0.7  # similarity from which on a word counts as a mistyped one; 1 means equal
_BOOLEANS: Final = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


class _WithGlobals(click.Command):
    """A command that accepts the dialect's global options besides its own, in any position."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own = super().get_params(ctx)
        app = ctx.find_object(App)
        if app is None:
            return own
        own = [app.dialect.option(param) if isinstance(param, click.Option) else param for param in own]
        taken = {name for param in own for name in param.opts}
        return own + [option for option in app.dialect.global_options if taken.isdisjoint(option.opts)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        flags = [param for param in self.get_params(ctx) if isinstance(param, click.Option) and param.is_flag]
        plain = list(_plain_flags(args, {name for flag in flags for name in flag.opts}))
        try:
            rest = super().parse_args(ctx, list(plain))
        except click.MissingParameter as error:
            raise _all_missing(self, ctx, plain, error) from None
        for param in super().get_params(ctx):
            if not isinstance(param.type, click.Path) and param.name:
                check_text(ctx, param, ctx.params.get(param.name))
        return rest


class MissingOptions(click.MissingParameter):
    """The error for several missing required options, which are reported at once."""

    def __init__(self, options: Sequence[click.Option], ctx: click.Context) -> None:
        super().__init__(ctx=ctx, param=options[0])
        self.names = [option.opts[0] for option in options]

    def format_message(self) -> str:
        quoted = [f"'{name}'" for name in self.names]
        return f"Missing options {', '.join(quoted[:-1])} and {quoted[-1]}."


def _all_missing(
    command: click.Command, ctx: click.Context, args: list[str], first: click.MissingParameter
) -> click.MissingParameter:
    """Return the error for all missing options, of which ``first`` is one."""
    given = command.make_parser(ctx).parse_args(list(args))[0]
    options = [param for param in command.get_params(ctx) if isinstance(param, click.Option)]
    missing = [option for option in options if option.required and option.name not in given]
    return MissingOptions(missing, ctx) if len(missing) > 1 and isinstance(first.param, click.Option) else first


def check_text(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Raise BadParameter for an argument that is not UTF-8 or contains a NUL; only local paths may be any bytes."""
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str) and "\0" in text:
            raise click.BadParameter("the value contains a NUL byte", ctx, param)
        if isinstance(text, str) and not text.isascii() and _SURROGATES.search(text):
            shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            raise click.BadParameter(f"'{shown}' is not UTF-8 text", ctx, param)


def _plain_flags(args: Sequence[str], flags: Container[str]) -> Iterator[str]:
    """Replace ``--flag=true`` by ``--flag`` and drop ``--flag=false``, which scripts for Datamon contain."""
    for at, arg in enumerate(args):
        if arg == "--":
            yield from args[at:]
            return
        name, _, value = arg.partition("=")
        if name not in flags or value.lower() not in _BOOLEANS:
            yield arg
        elif _BOOLEANS[value.lower()]:
            yield name


class Verb(_WithGlobals):
    """A command. Its help shows an example and its exit codes."""

    def __init__(
        self, name: str | None, *, example: str = "", exits: Sequence[int] = (), fields: Listed = dict, **extra: Any
    ) -> None:
        super().__init__(name, context_settings=dict(_SETTINGS), **extra)
        self.example = example
        self.exits = tuple(sorted({*_USUAL_EXITS, *exits}))
        self.listed = fields

    def fields(self) -> Iterator[tuple[str, str]]:
        """Yield the option ("" for none) and the fields of a plain line, in order."""
        for option, view in self.listed().items():
            yield option, ", ".join(view.columns)

    def invoke(self, ctx: click.Context) -> Any:
        if app := ctx.find_object(App):
            app.begin()
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        option = _dialect(ctx).option
        params = (option(param) if isinstance(param, click.Option) else param for param in self.params)
        own = [record for param in params if (record := param.get_help_record(ctx))]
        if own:
            with formatter.section("Options"):
                formatter.write_dl(own)
        _point_to_globals(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        dialect = _dialect(ctx)
        if self.example:
            with formatter.section("Example"):
                for line in self.example.splitlines():
                    example = dialect.words(line.replace("sheaf ", f"{dialect.name} ", 1))
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
        fields = list(self.fields()) if dialect.has_tables else []
        if fields:
            with formatter.section("Fields, separated by tabs (except in tables)"):
                formatter.write_dl([(option or "each line", names) for option, names in fields])
        codes = sorted({dialect.exit_code(code) for code in self.exits})
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), dialect.exits[code]) for code in codes])


class VerbTree(_WithGlobals, click.Group):
    """A group whose verbs are in a literal table, ``"list files" -> "module:attribute"``, and load when used.

    A name may have several words; the longest match is used, so ``bundle list`` and ``bundle list files`` are two plain
    verbs.
    """

    def __init__(self, name: str, table: Mapping[str, str], nouns: Mapping[str, str] | None = None, **extra: Any):
        super().__init__(name, context_settings=dict(_SETTINGS), no_args_is_help=False, **extra)
        self._table = table
        self._nouns = nouns or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self._nouns, *(key for key in self._table if key.split()[0] not in self._nouns)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._nouns:
            return self._below(cmd_name, self._nouns[cmd_name])
        return _load(self._table[cmd_name]) if cmd_name in self._table else None

    def _below(self, word: str, text: str) -> VerbTree:
        """Return the tree of the verbs whose first word is this one."""
        prefix = f"{word} "
        below = {key.removeprefix(prefix): at for key, at in self._table.items() if key.startswith(prefix)}
        return VerbTree(word, below, help=text, short_help=text)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        for words in range(max(len(key.split()) for key in self._table), 1, -1):
            name = " ".join(args[:words])
            if len(args) >= words and name in self._table:
                return name, _load(self._table[name]), args[words:]
        if args[0] in self._nouns and args[0] in self._table and self._is_verb(args[0], args[1:]):
            return args[0], _load(self._table[args[0]]), args[1:]
        if any(key.startswith(f"{args[0]} ") for key in self._table) and args[0] not in self._nouns:
            return args[0], self._below(args[0], f"Commands that start with '{args[0]}'."), args[1:]
        # During a completion (resilient_parsing) the word is incomplete, so it is not an unknown command.
        is_unknown = args[0] not in self.list_commands(ctx) and not ctx.resilient_parsing
        if is_unknown and (near := self._near(ctx, args[0])):
            raise click.UsageError(f"No such command '{args[0]}'. Did you mean '{near}'?", ctx)
        return super().resolve_command(ctx, args)

    def _is_verb(self, noun: str, args: Sequence[str]) -> bool:
        """True if a noun is used as a verb, as in ``label faces@init production``, and not before a mistyped verb."""
        words = [arg for arg in args if not arg.startswith("-")]
        verbs = [key.split()[1] for key in self._table if key.startswith(f"{noun} ")]
        import difflib  # only for mistyped words

        is_mistyped = bool(words and difflib.get_close_matches(words[0], verbs, n=1, cutoff=_LIKENESS))
        return any("@" in word for word in words) or (len(words) > 1 and not is_mistyped)

    def _near(self, ctx: click.Context, typed: str) -> str:
        """Return the command that is most similar to what was typed, "" if none is similar.

        Compares the first word of a command or, if it has several, the last one.
        """
        above = ctx.command_path.partition(" ")[2]
        names = {key.split()[-1]: key for key in sorted(self._table, reverse=True)} | {
            name: name for name in self.list_commands(ctx)
        }
        import difflib

        near = difflib.get_close_matches(typed, names, n=1, cutoff=_LIKENESS)
        return f"{above} {names[near[0]]}".strip() if near else ""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return completions, also of the second word of a verb of two words."""
        state = vars(ctx)
        # The attribute's name has an underscore since click 8.2.
        begun = state.get("_protected_args") or state.get("protected_args") or []
        typed = [*begun, *ctx.args]
        prefix = " ".join([*typed, ""])
        rest = (key.removeprefix(prefix).split()[0] for key in self.list_commands(ctx) if key.startswith(prefix))
        words = sorted({word for word in rest if word.startswith(incomplete)})
        return [CompletionItem(word) for word in words] or super().shell_complete(ctx, incomplete)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if ctx.parent is None:
            super().format_options(ctx, formatter)
            return
        self.format_commands(ctx, formatter)
        _point_to_globals(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if ctx.parent is None:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(code), text) for code, text in _dialect(ctx).exits.items()])


def _point_to_globals(ctx: click.Context, formatter: click.HelpFormatter) -> None:
    formatter.write_paragraph()
    formatter.write_text(f"Run '{ctx.find_root().info_name} --help' for global options, such as --json and --store.")


def _dialect(ctx: click.Context) -> Dialect:
    app = ctx.find_object(App)
    if app is None:
        raise Bug("a verb is shown outside of a call")
    return app.dialect


def _load(at: str) -> click.Command:
    module, attribute = at.split(":")
    return cast(click.Command, getattr(importlib.import_module(module), attribute))


def verbs_of(tree: VerbTree, dialect: Dialect, table: Mapping[str, str]) -> Iterator[tuple[str, Verb]]:
    """Load the verbs of a table by name, to describe them."""
    context = click.Context(tree, info_name=dialect.name, obj=App(dialect, Environment({}, Path("/home"), "user")))
    for name in sorted(table):
        _, command, _ = tree.resolve_command(context, name.split())
        # A noun that is also a verb: load the verb.
        if isinstance(command, VerbTree) and name in table and " " not in name:
            command = _load(table[name])
        if isinstance(command, VerbTree):
            noun = click.Context(command, parent=context, info_name=name.split()[0])
            _, command, _ = command.resolve_command(noun, name.split()[1:])
        if not isinstance(command, Verb):
            raise Bug(f"'{name}' is a name in the table and no verb")
        yield name, command


def verb(
    *, example: str, exits: Sequence[int] = (), fields: Listed = dict, **extra: Any
) -> Callable[[Callable[..., Any]], Verb]:
    """Turn a function into a :class:`Verb`. Its docstring is the help, its first argument the :class:`App`.

    ``fields``: returns the views of what it lists, by the option that asks for it; used by help only.
    """

    def decorate(function: Callable[..., Any]) -> Verb:
        command = click.command(cls=Verb, example=example, exits=exits, fields=fields, **extra)(
            click.pass_obj(function)
        )
        make_completable(command.params)
        return command

    return decorate
