"""Run a tree of verbs as a process: signals, broken pipes, errors, the exit code."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import FrameType
from typing import Final, NoReturn

import click
from click.shell_completion import shell_complete
from msgspec import structs

from sheaf.cli.app import App, Dialect
from sheaf.cli.error_report import Failure, failure_of, one_line, print_failure
from sheaf.cli.exits import BROKEN_PIPE, INTERRUPTED, OK, TERMINATED, UNREACHABLE, USAGE
from sheaf.cli.output.streams import OutputError, drop_output, finish_output
from sheaf.cli.verb_tree import VerbTree
from sheaf.settings.settings import Environment, read_environment

__all__ = ["patiently", "run", "start"]


_PATIENCE: Final = 3.0  # seconds to clean up after a signal; a process that is killed earlier loses nothing
_ENDINGS: Final = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
_RESUME: Final = "run the same command again to resume"
_WORDS: Final = {INTERRUPTED: "interrupted", TERMINATED: "terminated"}


class _Call:
    """The call that this process executes. A signal handler needs it to print how to resume."""

    app: App | None = None


class _Terminated(BaseException):
    """SIGTERM as an exception, so that open resources are closed."""


def start(tree: VerbTree, dialect: Dialect, args: Sequence[str]) -> NoReturn:
    """Run the command line as this process and exit."""
    for number in _ENDINGS:
        signal.signal(number, _end)
    code = run(tree, dialect, args, read_environment())
    if code in _ENDINGS.values():
        _leave(code)
    sys.exit(finish_output(code))


def run(tree: VerbTree, dialect: Dialect, args: Sequence[str], environment: Environment) -> int:
    """Run one call and return its exit code. Prints errors; never raises."""
    app = _Call.app = App(dialect, environment)
    try:
        return _invoke(tree, app, list(args))
    except (KeyboardInterrupt, click.Abort):
        _print_ending(INTERRUPTED)
        return INTERRUPTED
    except _Terminated:
        _print_ending(TERMINATED)
        return TERMINATED
    except OutputError as error:
        return _without_output(error, app, args)
    except SystemExit:
        raise
    except BaseException as error:
        # Some libraries exit with an exception that is not an Exception.
        if isinstance(error, BrokenPipeError) and _is_stdout_gone():
            drop_output()
            return BROKEN_PIPE
        failure = _of_click(error, dialect) if isinstance(error, click.ClickException) else failure_of(error)
        if app.resumes and failure.exit == UNREACHABLE:
            failure = structs.replace(failure, hint="; ".join(filter(None, (failure.hint, _RESUME))))
        print_failure(failure, error, dialect, as_json="--json" in args, debug="--debug" in args)
        return dialect.exit_code(failure.exit)


def _invoke(tree: VerbTree, app: App, args: list[str]) -> int:
    name = app.dialect.name
    variable = f"_{name.upper()}_COMPLETE"
    if instruction := app.environment.variables.get(variable):
        import_module("sheaf.cli.commands.completion")  # registers what bash needs for addresses
        return shell_complete(tree, {"obj": app}, name, variable, instruction)
    try:
        with tree.make_context(name, args, obj=app) as context:
            code = tree.invoke(context)
    except click.exceptions.Exit as done:
        code = done.exit_code
    finally:
        app.close()
    sys.stdout.flush()
    return code if isinstance(code, int) else OK


def _without_output(error: OutputError, app: App, args: Sequence[str]) -> int:
    """Report that output was lost, and return the exit code.

    A bundle that was committed is reported nevertheless, or the user would upload it again.
    """
    drop_output()
    if error.is_unread and not app.committed:
        return BROKEN_PIPE
    hint = f"not written: {error.lost}" if error.lost else ""
    if app.committed:
        hint = f"bundle {app.committed} is committed"
    failure = Failure("output", f"can't write to standard output: {error.reason}", hint, error.exit)
    print_failure(failure, error, app.dialect, as_json="--json" in args, debug="--debug" in args)
    return BROKEN_PIPE if error.is_unread else app.dialect.exit_code(error.exit)


def _of_click(error: click.ClickException, dialect: Dialect) -> Failure:
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = context.command_path if context else dialect.name
    return Failure("usage", one_line(dialect.usage_message(error)), f"run '{where} --help' for usage", USAGE)


def _is_stdout_gone() -> bool:
    """True if stdout has no reader: then a broken pipe is ours, otherwise it belongs to a store's connection."""
    try:
        watch = select.poll()
        watch.register(sys.stdout.fileno(), select.POLLOUT)
    except OSError:  # not an open file
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in watch.poll(0))


@contextlib.contextmanager
def patiently() -> Iterator[None]:
    """Give the first signal in the block a cleanup without a time limit; the second one still ends the process."""
    if signal.getsignal(signal.SIGINT) is not _end:
        # This process has other signal handlers, which must stay.
        yield
        return
    for number in _ENDINGS:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in _ENDINGS:
            if signal.getsignal(number) is _raise:
                signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Handle the first signal: clean up, for three seconds at most."""
    timer = threading.Timer(_PATIENCE, _break_off, [_ENDINGS[signal.Signals(number)]])
    timer.daemon = True
    timer.start()
    _raise(number, frame)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    code = _ENDINGS[signal.Signals(number)]
    for each in _ENDINGS:
        signal.signal(each, lambda number, frame: _break_off(code))
    raise KeyboardInterrupt if number == signal.SIGINT else _Terminated


def _print_ending(code: int) -> None:
    print(_WORDS[code], file=sys.stderr)
    if _Call.app is not None and _Call.app.resumes:
        print(f"{_Call.app.dialect.hint_prefix}{_RESUME}", file=sys.stderr)


def _break_off(code: int) -> NoReturn:
    _print_ending(code)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process without waiting for transfers of its threads. This is safe at any moment."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
