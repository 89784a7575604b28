"""The state of one call of the command line: its global options, and what verbs need."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from sheaf.cli.output.render import Output
from sheaf.errors import InvalidInput, NotFound
from sheaf.settings.settings import Environment, Settings, is_verbose_terminal, options_for, storage_options

if TYPE_CHECKING:
    import click

    from sheaf import StorageOptions
    from sheaf.cli.output.progress_bar import Bar
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.repo import Repo
    from sheaf.repo.store import Store
    from sheaf.repo.values import RepoInfo

__all__ = ["App", "Dialect", "NoStoreYet"]

_HOW_TO_BEGIN: Final = "create it with `repo create`, or name another store with --store URL"

#: A command of ``sheaf`` in a text (in backticks), or the name of an option.
_NAMED: Final = re.compile(r"`[^`]*`|(?<![\w-])--[a-z][a-z-]*")


class NoStoreYet(NotFound):
    """No store was named, and the default store in the user's data folder does not exist yet."""


class Dialect(Struct, frozen=True):
    """Differences between ``sheaf`` and ``datamon``; their verbs are the same functions."""

    name: str
    read_settings: Callable[[Environment, Mapping[str, str]], Settings]
    global_options: tuple[click.Option, ...]
    #: Converts an exit code of ``sheaf.errors`` to this program's.
    exit_code: Callable[[int], int]
    #: Meanings of the exit codes.
    exits: Mapping[int, str]
    usage_message: Callable[[click.ClickException], str]
    error_prefix: str
    hint_prefix: str
    note_prefix: str
    #: Exit code of a command that was done in part.
    partial_exit: int
    #: True if lists become tables on a terminal.
    has_tables: bool
    #: True to behave as upstream where ``sheaf`` is stricter or prints more: without a ref the newest bundle of any
    #: branch counts, labels move, empty folders become bundles, folders of another repo are replaced.
    keeps_upstream: bool = False
    #: True to name the configuration file in use on stderr.
    names_config: bool = False
    #: Options that have another name in this program, by their name in ``sheaf``.
    renamed: Mapping[str, str] = field(default_factory=dict)
    #: Converts an option of a verb to this program's form.
    option: Callable[[click.Option], click.Option] = lambda option: option
    #: Writes what the program leaves in a destination after a download or an update.
    after_download: Callable[[Bundle, Path], None] | None = None

    def words(self, text: str) -> str:
        """Return a hint or an example with this program's option names, outside of commands in backticks."""
        return _NAMED.sub(lambda found: self.renamed.get(found[0], found[0]), text)


class App:
    """The object that is passed to every verb. Closing it closes the store."""

    def __init__(self, dialect: Dialect, environment: Environment) -> None:
        self.dialect = dialect
        self.environment = environment
        #: Global flags by name, filled while the command line is parsed.
        self.flags: dict[str, str] = {}
        #: Id of the bundle that this call has committed. It is reported even if output can't be written.
        self.committed = ""
        #: True if the same command resumes when it is interrupted now.
        self.resumes = False
        self._stack = contextlib.ExitStack()

    @property
    def is_quiet(self) -> bool:
        """True if only warnings and errors are wanted on stderr."""
        return "quiet" in self.flags

    @property
    def verbosity(self) -> int:
        """Number of ``-v`` options given."""
        return int(self.flags.get("verbose", 0))

    def begin(self) -> None:
        """Start the call after the command line was parsed. Raises InvalidInput for mutually exclusive flags."""
        if not self.verbosity:
            return
        if self.is_quiet:
            raise InvalidInput("-q and -v are mutually exclusive", "pass only one of them")
        from sheaf.cli.output.verbosity import logged

        self._stack.enter_context(logged(self.verbosity))

    @cached_property
    def settings(self) -> Settings:
        settings = self.dialect.read_settings(self.environment, self.flags)
        if self.dialect.names_config and settings.config_was_read:
            self.note(f"Using config file: {settings.config_path}")
        if self.verbosity:
            self._log_settings(settings)
        return settings

    def _log_settings(self, settings: Settings) -> None:
        # Imported here, since few calls need it and start-up time counts.
        import logging

        log = logging.getLogger("sheaf").info
        if settings.config_was_read:
            log("settings from %s%s", settings.config_path, f", context {settings.context}" if settings.context else "")
        log("store %s, cache %s", settings.store, settings.cache)

    @cached_property
    def out(self) -> Output:
        as_table = self.dialect.has_tables and self.environment.stdout_is_terminal
        if "table" in self.flags:
            as_table = self.flags["table"] == "true"
        return Output(
            as_json="json" in self.flags,
            as_table=as_table,
            template=self.flags.get("format"),
            has_fields=self.dialect.has_tables,
        )

    def storage_options(self) -> StorageOptions:
        """Options for access to the store."""
        return self._stack.enter_context(storage_options(self.environment, self.settings))

    @property
    def ask(self) -> Callable[[str], str] | None:
        """A callback that prompts for a passphrase; None without a terminal."""
        return _ask if self.environment.stderr_is_terminal else None

    @cached_property
    def store(self) -> Store:
        """The open store. Raises NoStoreYet if no store was named and the embedded one does not exist."""
        return self._opened(create=False)

    def store_to_write(self) -> Store:
        """Return the open store, and create the embedded one at its first use."""
        try:
            return self.store
        except NoStoreYet:
            self.store = self._opened(create=True)
            self.note(f"created a store at {self.settings.store}")
            return self.store

    def open_store(self, *, has_cache: bool) -> Store:
        """Open the store once more. Without a cache, each byte is read from the store itself."""
        return self._opened(create=False, has_cache=has_cache)

    def _opened(self, *, create: bool, has_cache: bool = True) -> Store:
        import sheaf  # the heavy part, which only verbs with a store load

        settings = self.settings
        try:
            store = sheaf.connect(
                settings.store,
                options=self.storage_options(),
                cache=settings.cache if has_cache else None,
                author=sheaf.Author(settings.name, settings.email),
                create=create,
                others=partial(options_for, settings),
                ask=self.ask,
            )
        except NotFound as error:
            from sheaf.api import LostConfig

            if not settings.is_embedded or isinstance(error, LostConfig):
                raise
            raise NoStoreYet(f"no store exists yet at {settings.store}", _HOW_TO_BEGIN) from error
        return self._stack.enter_context(store)

    def hold(self, store: Store) -> Store:
        """Register another store, to be closed when the call ends; returns it."""
        return self._stack.enter_context(store)

    def repos(self) -> list[RepoInfo]:
        """Return all repos. If there is no store yet, print a warning and return none."""
        try:
            return self.store.repos()
        except NoStoreYet as error:
            self.warn(f"{error.message}: {error.hint}")
            return []

    def repo(self, name: str) -> Repo:
        return self.store.repo(name)

    def progress(self, title: str, unit: str = "files") -> Bar:
        """Return a progress bar for ``progress=`` of the API, drawn only on a terminal. ``unit``: what it counts."""
        from sheaf.cli.output.progress_bar import Bar

        # Don't draw a bar where other lines would be printed into it.
        is_silent = self.out.as_json or self.is_quiet or self.verbosity > 0
        is_wanted = is_verbose_terminal(self.environment) and not is_silent
        return self._stack.enter_context(Bar(title, is_wanted=is_wanted, unit=unit))

    def leave_traces(self, bundle: Bundle, folder: Path) -> None:
        """Write what the dialect keeps in a folder that now equals a bundle; ``sheaf`` keeps nothing there."""
        if self.dialect.after_download:
            self.dialect.after_download(bundle, folder)

    def summary(self, text: str) -> None:
        """Print what was done on stderr, also without a terminal, because it belongs in logs."""
        is_wanted = self.environment.stderr_is_terminal or not self.dialect.keeps_upstream
        if is_wanted and not self.out.as_json:
            self.note(text)

    def note(self, text: str) -> None:
        """Print an informational line on stderr; --quiet drops it."""
        if not self.is_quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Print a warning on stderr, or what the user needs to answer a question."""
        print(text, file=sys.stderr)

    def close(self) -> None:
        self._stack.close()


def _ask(what: str) -> str:
    import click

    return str(click.prompt(what, hide_input=True, err=True))
