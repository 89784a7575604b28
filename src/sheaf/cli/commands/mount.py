"""``bundle mount``, ``repo mount``, ``store mount``: mount bundles as folders through FUSE."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import click

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.daemon import Daemon, detach
from sheaf.cli.inputs import choose_bundle
from sheaf.cli.verb_tree import verb
from sheaf.settings.sizes import parse_size

if TYPE_CHECKING:
    from sheaf.mount.mount_options import MountOptions, ReadOptions
    from sheaf.repo.bundle import Bundle

__all__ = ["MOUNTING", "MountFlags", "in_background", "mount", "mount_repo", "mount_store"]


@dataclass(frozen=True, slots=True)
class MountFlags:
    """The options of every mount. ``mount``: the mount point."""

    mount: Path
    daemonize: bool
    allow_other: bool
    library: str | None

    def options(self, app: App, source: str, daemon: Daemon | None, *, kind: str = "", ref: str = "") -> MountOptions:
        """Options of a mount. ``source``: a repo or store, ``ref``: a part of it; the system's table of mounts shows both.

        The type is the program's name, by which wrappers find it.
        """
        from sheaf.mount.mount_options import MountOptions

        def up() -> None:
            sys.stdout.flush()
            if daemon is not None:
                daemon.ready()

        which = cast(Literal["pyfuse3", "mfusepy"] | None, self.library)
        if not app.dialect.keeps_upstream:
            source = f"{app.dialect.name}:{source}{'@' if ref else ''}{ref}"
        return MountOptions(source, app.dialect.name + kind, self.allow_other, up, which)


@dataclass(frozen=True, slots=True)
class ReadFlags:
    """The options of read-only mounts: sizes as they were written, and MiB of read-ahead."""

    cache_size: str
    disk_cache: str
    prefetch: int

    def options(self, copy: Path | None = None) -> ReadOptions:
        """Options of reading. ``copy``: a folder that has the bundle."""
        from sheaf.mount.mount_options import ReadOptions

        disk = parse_size(self.disk_cache) if self.disk_cache != "0" else 0
        return ReadOptions(parse_size(self.cache_size), self.prefetch, disk, copy)


MOUNTING: Final = options.stack(
    options.folder_option("--mount", "Mount point; created if it does not exist."),
    click.option("--daemonize", is_flag=True, help="Run in the background; return once mounted."),
    click.option("--allow-other", is_flag=True, help="Allow access by other users (FUSE's option of that name)."),
    click.option(
        "--library", type=click.Choice(["pyfuse3", "mfusepy"]), help="FUSE library. Default: depends on the system."
    ),
    click.option("--cpuprof", is_flag=True, hidden=True, expose_value=False),
    options.packed(MountFlags, "flags"),
)
READING: Final = options.stack(
    click.option(
        "--cache-size", default="128M", show_default=True, metavar="SIZE", help="Size of the cache in memory."
    ),
    click.option(
        "--disk-cache",
        default="1G",
        show_default=True,
        metavar="SIZE",
        help="Size of the disk cache shared by all mounts; 0 disables it.",
    ),
    click.option(
        "--prefetch",
        type=click.IntRange(0),
        default=16,
        show_default=True,
        metavar="N",
        help="Read-ahead for sequential reads, in MiB.",
    ),
    options.packed(ReadFlags, "reading"),
)


@verb(
    example="sheaf bundle mount --repo faces --label init --mount ./mnt --daemonize\nls ./mnt\nfusermount3 -u ./mnt",
    exits=(3, 5, 6, 8, 9),
)
@options.repo
@options.bundle_choice
@MOUNTING
@click.option("--stream/--no-stream", default=True, help="Fetch data on access, or download the bundle first.")
@click.option("--destination", type=options.PLACE, metavar="DIR", help="Folder that --no-stream downloads to.")
@READING
def mount(
    app: App,
    *,
    repo: str,
    flags: MountFlags,
    stream: bool,
    destination: Path | None,
    reading: ReadFlags,
    **choice: str | None,
) -> int:
    """Mount a bundle as a read-only folder. Data is fetched when it is read, and always verified.

    Runs until the folder is unmounted (umount, fusermount3 -u) or the command is interrupted.
    """

    def work(daemon: Daemon | None) -> None:
        from sheaf.mount.serve import mount_bundle

        found = app.repo(repo)
        bundle = choose_bundle(app, found, **choice)
        app.out.line(f"Using bundle: {bundle.id}")
        with _copied(app, bundle, destination, is_wanted=not stream) as copy:
            how = flags.options(app, repo, daemon, ref=bundle.id)
            mount_bundle(found, bundle, flags.mount, how, reading.options(copy))

    return in_background(app, work, flags)


@verb(
    example="sheaf repo mount --repo faces --mount ./mnt --daemonize\nls ./mnt/main\nfusermount3 -u ./mnt",
    exits=(3, 5, 6, 8, 9),
)
@options.repo
@MOUNTING
@READING
def mount_repo(app: App, *, repo: str, flags: MountFlags, reading: ReadFlags) -> int:
    """Mount all bundles of a repo read-only, as DIR/REF/… Labels and branches are listed; other refs work by name."""

    def work(daemon: Daemon | None) -> None:
        from sheaf.mount.serve import mount_repo

        found = app.repo(repo)
        mount_repo(found, flags.mount, flags.options(app, repo, daemon), reading.options())

    return in_background(app, work, flags)


@verb(
    example="sheaf store mount --mount ./mnt --daemonize\nls ./mnt/faces/main\nfusermount3 -u ./mnt",
    exits=(3, 5, 6, 8, 9),
)
@MOUNTING
@READING
def mount_store(app: App, *, flags: MountFlags, reading: ReadFlags) -> int:
    """Mount all repos of the store read-only, as DIR/REPO/REF/…"""

    def work(daemon: Daemon | None) -> None:
        from sheaf.mount.serve import mount_store

        mount_store(app.store, flags.mount, flags.options(app, app.store.url, daemon), reading.options())

    return in_background(app, work, flags)


def in_background(
    app: App, work: Callable[[Daemon | None], Any], flags: MountFlags, *, prints_at_end: bool = False
) -> int:
    """Execute the work, in the background if wanted, and return the exit code.

    ``prints_at_end``: it also prints at its end, so that the log must be kept.
    """
    from sheaf.mount.fuse.library import check_library

    check_library(flags.library)
    if not flags.daemonize:
        return work(None) or 0
    # The log is not in the cache folder: what is printed at the end, such as a bundle's id, must survive if a user
    # clears the cache.
    log = app.environment.folder("XDG_STATE_HOME", ".local/state") / "sheaf" / "mounts" / f"{os.getpid()}.log"
    daemon = detach(log)
    if isinstance(daemon, int):
        if prints_at_end and not daemon:
            app.note(f"output is logged to {log}")
        return daemon
    try:
        return work(daemon) or 0
    finally:
        daemon.finish()


@contextlib.contextmanager
def _copied(app: App, bundle: Bundle, destination: Path | None, *, is_wanted: bool) -> Iterator[Path | None]:
    """Download a bundle for the block if ``is_wanted``: yields the folder, a temporary one unless one is named, or None."""
    if not is_wanted:
        yield None
        return
    with contextlib.ExitStack() as stack:
        folder = destination or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sheaf-mount-")))
        with app.progress("download") as bar:
            bundle.download(folder, progress=bar)
        yield folder
