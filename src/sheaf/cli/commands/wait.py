"""``wait``: until a label appears or a branch moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.output.text import quote
from sheaf.cli.verb_tree import verb
from sheaf.settings.durations import parse_duration

if TYPE_CHECKING:
    from sheaf.api import Progress, ProgressState

__all__ = ["wait"]


@verb(example="sheaf wait --repo faces --label production --timeout 1h", exits=(3, 5, 6, 8, 9))
@options.repo
@click.option("--label", metavar="LABEL", help="Wait until this label exists.")
@click.option("--branch", metavar="BRANCH", help="Wait until this branch exists, or moves (--after).")
@click.option("--after", metavar="REF", help="Wait for a branch that is neither at REF nor before it.")
@click.option("--timeout", metavar="TIME", help="Give up after TIME, such as 30m. Default: never.")
def wait(app: App, *, repo: str, label: str | None, branch: str | None, after: str | None, timeout: str | None) -> None:
    """Wait until a label exists or a branch moves, and print the id of its bundle.

    The repo need not exist yet. Checks are repeated after pauses that grow from half a second to 30 seconds. With
    --after REF, the wait continues while the branch points to REF or to an earlier bundle in the history of REF.
    """
    limit = parse_duration(timeout) if timeout is not None else None
    named = f"label '{quote(label)}'" if label else f"branch '{quote(branch or '')}'"
    with app.progress("wait", "checks") as bar:
        announced = _announced(app, f"waiting for {named} of repo {quote(repo)}", bar)
        choice = {"label": label, "branch": branch, "after": after}
        bundle = app.store.wait_for(repo, **choice, timeout=limit, progress=announced)
    app.out.line(bundle.id)
    app.out.object({"repo": repo, "label": label, "branch": branch, "bundle": bundle.id, "version": bundle.version})


def _announced(app: App, text: str, bar: Progress) -> Callable[[ProgressState], None]:
    """Print what the command waits for when the first pause begins, also in logs; then draw the bar."""
    is_announced = False

    def on_progress(state: ProgressState) -> None:
        nonlocal is_announced
        if not is_announced:
            is_announced = True
            app.note(text)
        bar(state)

    return on_progress
