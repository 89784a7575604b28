"""``sidecar``: serve an application in a pod: its data is there before it starts, and saved after it has ended."""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sheaf import sidecar
from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.exits import OK, TERMINATED
from sheaf.cli.output.text import quote
from sheaf.cli.verb_tree import verb

if TYPE_CHECKING:
    from sheaf.sidecar.coordination import CoordinationFolder, CoordinationFolders
    from sheaf.sidecar.supervision import Behaviour, Sidecar

__all__ = ["fuse", "postgres", "scripts"]

_PROGRAM: Final = "from sheaf.cli.datamon import main; main()"
#: Global options that the commands of a sidecar get, too.
_PASSED_ON: Final = ("store", "context", "endpoint", "region", "profile", "key_file", "limit_rate")


#: Options of one database, by the names that YAML has.
_OF_DATABASE: Final = (
    *("name", "dataDir", "pgPort", "owner", "srcRepo", "srcLabel", "srcBundle"),
    *("destRepo", "destMessage", "destLabel", "destForm"),
)


def _global(flag: str, key: str, metavar: str, text: str) -> options.Decorator:
    """A global option of the sidecar by the name that it has in YAML, too."""
    return click.option(flag, key, metavar=metavar, help=text)


def _shared() -> options.Decorator:
    """The options that all kinds have."""
    return options.stack(
        click.option(
            "-c", "coordPoint", type=options.PLACE, metavar="DIR", help="Coordination folder. Default: /tmp/coord."
        ),
        click.option(
            "-i",
            "id_file",
            type=options.PLACE,
            metavar="FILE",
            help="Write the bundle id to FILE; requires exactly one upload.",
        ),
        click.option("-s", "sleepInsteadOfExit", is_flag=True, help="Stay until SIGTERM instead of exiting."),
        click.option("--params", metavar="YAML", help="Parameters: a YAML file, or YAML itself."),
        click.option(
            "--save-unfinished",
            "saveUnfinished",
            is_flag=True,
            help="Save results to branch 'unfinished' on SIGTERM or failure.",
        ),
        _global("--poll-interval", "pollInterval", "TIME", "Check the coordination folder this often. Default: 1s."),
        _global("--start-timeout", "startTimeout", "TIME", "Fail if the data is not ready by then. Default: 1h."),
        _global("--run-timeout", "runTimeout", "TIME", "Time that the application may run. Default: no limit."),
        _global("--save-timeout", "saveTimeout", "TIME", "Time until all uploads must be done. Default: 1d."),
        _global("--lost-timeout", "lostTimeout", "TIME", "Fail after this time without a sign of life. Default: 1m."),
    )


@verb(
    example="sheaf sidecar fuse -c ./coord -d 'bundle mount --repo faces --label init --mount ./in' \\\n"
    "    -d 'bundle upload --repo results --path ./out --message nightly --label new'",
    exits=(3, 5, 8, 143),
)
@click.option("-d", "commands", multiple=True, metavar="COMMAND", help="Mount, upload or config command; repeatable.")
@_global("--cache-size", "cacheSize", "SIZE", "Memory for the data that all mounts cache. Default: 128M.")
@_shared()
def fuse(
    app: App, *, commands: tuple[str, ...], id_file: Path | None, params: str | None, **given: str | Path | bool | None
) -> int:
    """Mount bundles for an application, and upload its results.

    The application runs under wrap_application.sh with the same coordination folder. It starts when all mounts are
    ready. When it has ended without an error, the uploads run. Pass mounts and uploads as -d options, written as
    datamon commands, or as YAML in --params, $dm_fuse_params or $SIDECAR_CONFIG.
    """
    read = sidecar.read_fuse_parameters(
        sidecar.Given(app.environment.variables, _texts(given), commands, id_file, params)
    )

    def served(children: sidecar.Children) -> Sidecar:
        return sidecar.FuseSidecar(read.commands, _program(app), children, read.cache_bytes, app.note)

    return _serve(app, served, read.folder, read.behaviour)


@verb(
    example="sheaf sidecar postgres -c ./coord --name db --data-dir /tmp/sheaf-example-pg --port 54321 \\\n"
    "    --repo results --message nightly --label new",
    exits=(3, 5, 8, 143),
)
@_global("--name", "name", "NAME", "Name of the database, and of its folders. Default: db.")
@click.option(
    "--data-dir", "dataDir", type=options.PLACE, metavar="DIR", help="Folder for the data. Default: /pg_stage."
)
@_global("--port", "pgPort", "PORT", "Port of the server. Default: 5432.")
@_global("--owner", "owner", "ROLE", "Superuser of a blank database. Default: postgres.")
@_global("--source-repo", "srcRepo", "REPO", "Repo of the bundle to start from. Default: blank.")
@_global("--source-label", "srcLabel", "LABEL", "Label of that bundle. Default: the head of main.")
@_global("--source-bundle", "srcBundle", "REF", "Id of that bundle, or another ref.")
@_global("--repo", "destRepo", "REPO", "Repo to save to. Default: save nothing.")
@_global("--message", "destMessage", "TEXT", "Message of the new bundle.")
@_global("--label", "destLabel", "LABEL", "Label to set on the new bundle.")
@_global("--form", "destForm", "raw|dump", "Save data files, or a dump for any version. Default: raw.")
@click.option(
    "--ignore-version",
    "ignorePGVersionMismatch",
    is_flag=True,
    help="Start blank if the server can't read the bundle's version.",
)
@click.option("--bin-dir", type=options.PLACE, metavar="DIR", help="Folder of PostgreSQL's programs.")
@_shared()
def postgres(
    app: App, *, id_file: Path | None, params: str | None, bin_dir: Path | None, **given: str | Path | bool | None
) -> int:
    """Serve a PostgreSQL database to an application, and upload it.

    The application runs under wrap_application.sh with the same coordination folder, and starts when the server
    answers. When it has ended without an error, the server is stopped and the database is uploaded. Several databases
    need YAML in --params or $SIDECAR_CONFIG, or $dm_pg_opts.
    """
    texts = _texts(given)
    flags = {key: value for key, value in texts.items() if key in _OF_DATABASE}
    others = {key: value for key, value in texts.items() if key not in _OF_DATABASE}
    variables = app.environment.variables
    read = sidecar.read_postgres_parameters(sidecar.Given(variables, others, (), id_file, params), flags)
    installation = sidecar.PostgresInstallation(_program(app), variables, bin_dir, read.ignores_version)

    def served(children: sidecar.Children) -> Sidecar:
        return sidecar.PostgresSidecar(read.databases, installation, children, app.note)

    return _serve(app, served, read.folders, read.behaviour)


def _texts(given: Mapping[str, str | Path | bool | None]) -> dict[str, str]:
    return {key: "true" if value is True else str(value) for key, value in given.items() if value not in (None, False)}


def _serve(
    app: App,
    make: Callable[[sidecar.Children], Sidecar],
    folder: CoordinationFolder | CoordinationFolders,
    behaviour: Behaviour,
) -> int:
    with sidecar.Signals() as signals:
        children = sidecar.Children(_environment(app), app.note)
        children.watch(signals.wakeup)
        try:
            sidecar.Supervision(make(children), folder, behaviour, children, signals, app.note).run()
        except sidecar.Terminated as error:
            app.warn(f"{app.dialect.error_prefix}{error.message}")
            return TERMINATED
    return OK


def _program(app: App) -> list[str]:
    """``datamon`` with the global options of this call."""
    flags = {key: app.flags[key] for key in _PASSED_ON if key in app.flags}
    passed = (word for key, value in flags.items() for word in (f"--{key.replace('_', '-')}", value))
    return [sys.executable, "-P", "-c", _PROGRAM, *passed]


def _environment(app: App) -> dict[str, str]:
    own = {"SHEAF_CONFIG": app.flags["config"]} if "config" in app.flags else {}
    return {**app.environment.variables, **own}


@verb(example="sheaf sidecar scripts --destination /shared/bin", exits=(9, 10))
@options.folder_option("--destination", "Folder to copy the scripts to; created if it does not exist.")
def scripts(app: App, *, destination: Path) -> None:
    """Copy wrap_application.sh and the other scripts to a folder.

    An init container does this, so that the image of the application needs nothing of Sheaf.
    """
    destination.mkdir(parents=True, exist_ok=True)
    for script in sorted((Path(sidecar.__file__).parent / "shell").glob("*.sh")):
        copy = destination / script.name
        shutil.copyfile(script, copy)
        copy.chmod(copy.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        app.out.line(quote(str(copy)))
