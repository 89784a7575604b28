"""The magics ``%sheaf`` and ``%%sheaf``."""

from __future__ import annotations

import argparse
import platform
import shlex
from asyncio import CancelledError
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.display import HTML

from sheaf.errors import SheafError
from sheaf.fork import TemporaryFolder
from sheaf.notebook import cell as cells
from sheaf.notebook import html
from sheaf.notebook.display import history_html
from sheaf.notebook.preview import preview
from sheaf.notebook.session import NotebookSession
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo

__all__ = ["SheafMagics"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. {self.format_usage().strip()}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise UsageError(message or "")


def _parser() -> _Parser:
    parser = _Parser(prog="%sheaf", add_help=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    store = verbs.add_parser("store", add_help=False)
    store.add_argument("url", nargs="?")
    use = verbs.add_parser("use", add_help=False)
    use.add_argument("address")
    use.add_argument("name", nargs="?")
    use.add_argument("--folder", type=Path)
    use.add_argument("--mount", type=Path)
    for verb in ("show", "log"):
        verbs.add_parser(verb, add_help=False).add_argument("address")
    run = verbs.add_parser("run", add_help=False)
    run.add_argument("--out", required=True)
    run.add_argument("--message", default="a run in a notebook")
    run.add_argument("--branch", default="main")
    run.add_argument("--label")
    run.add_argument("--move-label", action="store_true")
    run.add_argument("--in", dest="inputs", action="append", default=[])
    run.add_argument("--name", default="out")
    return parser


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Turn errors of Sheaf into a message of one line, instead of a traceback."""
    try:
        yield
    except SheafError as error:
        raise UsageError(f"{error.message}. {error.hint}".rstrip(". ")) from error


def _driven(work: Coroutine[Any, Any, Bundle | None]) -> Bundle | None:
    """Return the value of a coroutine that never suspends, whether or not an event loop is running."""
    try:
        work.send(None)
    except StopIteration as done:
        value: Bundle | None = done.value
        return value
    raise RuntimeError("the coroutine suspended")


@magics_class
class SheafMagics(Magics):
    """The magics of a notebook."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.session = NotebookSession()

    @line_cell_magic  # type: ignore[untyped-decorator]
    def sheaf(self, line: str, cell: str | None = None) -> Any:
        """Work with versioned data.

        %sheaf use REPO@REF [NAME] [--folder DIR | --mount DIR]
            Bind the bundle to the variable NAME (default: the last part of the repo's name), and put its files into a
            folder, bound to NAME_folder.
        %sheaf show REPO@REF[:PATH]
            Show a bundle, a folder, an image, the first rows of a table or the beginning of a text.
        %sheaf log REPO[@REF]
            Show the history.
        %sheaf store [URL]
            Show the store; with a URL, switch to that store. The default is the store of the command line.
        %%sheaf run --out REPO [--message TEXT] [--branch NAME] [--label NAME [--move-label]] [--in REPO@REF]…
            [--name NAME]
            Run the cell with a new folder as the variable NAME (default: out) and commit the files written there as a
            bundle of REPO. The run is recorded: the code, the bundles of `%sheaf use` that the code mentions, those of
            --in, and the new bundle. If the cell raises an exception, the failure is recorded and no bundle is made.
        """
        args = _parser().parse_args(shlex.split(line))
        if (args.verb == "run") != (cell is not None):
            raise UsageError("use %%sheaf run with code below it, and %sheaf for all other commands")
        if cell is not None:
            if cells.has_await(self.shell, cell):
                raise UsageError("the cell contains await: load the extension in this shell, and turn %autoawait on")
            return _driven(self._run(args, cell))
        with _in_one_line():
            return getattr(self, f"_{args.verb}")(args)

    async def run_awaited(self, line: str, cell: str) -> Bundle | None:
        """Execute a ``%%sheaf`` cell with await. IPython calls it through :mod:`sheaf.notebook.extension`."""
        args = _parser().parse_args(shlex.split(line))
        if args.verb != "run":
            raise UsageError("use %%sheaf run with code below it, and %sheaf for all other commands")
        return await self._run(args, cell)

    def _store(self, args: argparse.Namespace) -> Any:
        return self.session.choose(args.url) if args.url else self.session.store

    def _use(self, args: argparse.Namespace) -> Bundle:
        used = self.session.use(args.address, args.name, args.folder, args.mount)
        self.shell.user_ns.update(used.variables)
        return used.bundle

    def _show(self, args: argparse.Namespace) -> Any:
        bundle, at = self.session.bundle(args.address)
        return HTML(preview(bundle, at.path)) if at.path else bundle

    def _log(self, args: argparse.Namespace) -> HTML:
        bundle, at = self.session.bundle(args.address)
        return HTML(history_html(islice(self.session.store.repo(at.repo).log(f"bundle:{bundle.id}"), 50)))

    async def _run(self, args: argparse.Namespace, cell: str) -> Bundle | None:
        """Run a cell as a recorded run, and return the bundle that it made, None if it has written nothing."""
        session = self.session
        # Errors of the cell itself are shown in full, so the cell is not run in this block.
        with _in_one_line():
            repo = session.store.repo(args.out)
            inputs = self._inputs(args, cell)
        environment = {"code": cell, "python": platform.python_version(), "platform": platform.platform()}
        run = session.store.runs.start(command=("%%sheaf", "run"), inputs=tuple(inputs), environment=environment)
        try:
            made = await self._made(repo, args, cell)
        except BaseException as error:
            outcome = "canceled" if isinstance(error, KeyboardInterrupt | CancelledError) else "failed"
            session.store.runs.end(run, outcome, exit_code=1)
            raise
        outputs = (f"{made.repo_name}@bundle:{made.id}",) if made else ()
        session.store.runs.end(run, "succeeded", exit_code=0, outputs=outputs)
        self._show_run(run, inputs, outputs)
        return made

    def _inputs(self, args: argparse.Namespace, cell: str) -> list[str]:
        """Return the addresses of bundles whose variables the code mentions, and of those named by --in."""
        mentioned = cells.names(self.shell, cell)
        used = [used.address for used in self.session.used.values() if not mentioned.isdisjoint(used.variables)]
        named = [f"{at.repo}@bundle:{bundle.id}" for bundle, at in map(self.session.bundle, args.inputs)]
        return list(dict.fromkeys(used + named))

    async def _made(self, repo: Repo, args: argparse.Namespace, cell: str) -> Bundle | None:
        """Run the cell, and commit what it has written. Return the bundle, None if it has written nothing."""
        with TemporaryFolder("sheaf-run-") as folder:
            self.shell.user_ns[args.name] = folder
            try:
                await cells.run(self.shell, cell)
                if not any(Path(folder).iterdir()):
                    return None
                names = {"branch": args.branch, "label": args.label, "move_label": args.move_label}
                return repo.upload(folder, message=args.message, **names, allow_empty=True).bundle
            finally:
                self.shell.user_ns.pop(args.name, None)

    def _show_run(self, run: str, inputs: list[str], outputs: tuple[str, ...]) -> None:
        facts = [("run", run), ("inputs", ", ".join(inputs) or "none"), ("outputs", ", ".join(outputs) or "none")]
        publish = self.shell.display_pub.publish
        plain = "\n".join(f"{name}: {value}" for name, value in facts)
        publish({"text/plain": plain, "text/html": html.facts(facts)})
