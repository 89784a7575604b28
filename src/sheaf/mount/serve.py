"""Mount a bundle, a repo or a store. Each call returns when the file system is unmounted."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from pathlib import Path

from sheaf.engine.block_cache import BlockCache, blocks_folder
from sheaf.engine.context import Connected
from sheaf.engine.manifest.ranks import Decoded, Ranks
from sheaf.engine.object_cache import NoCache
from sheaf.engine.sessions.erasure_notices import erased_contents, forget_names, mark_of_all
from sheaf.errors import InvalidInput, Refused, Unavailable, Unsupported
from sheaf.mount.bundles import BundleFs, OpenedFiles
from sheaf.mount.catalogue import Catalogue, CatalogueFs, repo_roots, store_roots
from sheaf.mount.fuse.library import check_library
from sheaf.mount.fuse.port import Filesystem, WaitPolicy
from sheaf.mount.kernel_cache import ByteCache
from sheaf.mount.mount_options import MountOptions, ReadOptions
from sheaf.mount.open_files import BundleReader, Pool
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store

__all__ = ["Shared", "mount_bundle", "mount_repo", "mount_store", "prepare", "serve"]


class Shared:
    """What the bundles of a mount share: cached bytes, threads and open files."""

    def __init__(self, store: Connected, options: ReadOptions) -> None:
        self.options = options
        self.patience = WaitPolicy()
        self.files = OpenedFiles()
        self.pool = Pool(ByteCache(options.cache_bytes), self.patience, _disk(store, options), ahead=options.ahead)
        self._decoded = Decoded()

    def open(self, bundle: Bundle, base: int = 0) -> BundleFs:
        """Return a bundle as a file system. Nothing is fetched yet. ``base``: added to its node numbers."""
        reader = BundleReader(Ranks(bundle.tree, self._decoded, self.patience.ask), bundle.view.contents, self.pool)
        mtime = int(bundle.time.timestamp() * 10**9)
        return BundleFs(reader, mtime, self.files, base=base, copy=self.options.copy)


def _disk(store: Connected, options: ReadOptions) -> BlockCache | None:
    """Return the disk cache for a store's blocks, None if it is turned off or the store is on this machine."""
    is_here = isinstance(store.core.cache, NoCache)
    if is_here or store.cache is None or not options.disk_bytes:
        return None
    blocks = BlockCache(blocks_folder(store.cache, store.core.config.id), options.disk_bytes)
    if erased := erased_contents(store.core):
        forget_names(store.core, erased)
        blocks.forget_all(erased, mark_of_all(erased))
    return blocks


def mount_bundle(repo: Repo, bundle: Bundle, mountpoint: Path, options: MountOptions, read: ReadOptions) -> None:
    """Mount a bundle, read-only."""
    shared = Shared(repo.context.store, read)
    _serve_read_only(shared.open(bundle), shared, mountpoint, options)


def mount_repo(repo: Repo, mountpoint: Path, options: MountOptions, read: ReadOptions) -> None:
    """Mount all bundles of a repo, read-only: labels and branches are folders; other refs can be opened by name."""
    started = int(repo.created.timestamp() * 10**9)
    _mount_roots(repo_roots(repo), started, mountpoint, options, Shared(repo.context.store, read))


def mount_store(store: Store, mountpoint: Path, options: MountOptions, read: ReadOptions) -> None:
    """Mount all repos of a store, read-only."""
    _mount_roots(store_roots(store), 0, mountpoint, options, Shared(store.connected, read))


def _mount_roots(roots: Catalogue, started: int, mountpoint: Path, options: MountOptions, shared: Shared) -> None:
    fs = CatalogueFs(roots, shared.open, shared.files, shared.patience, started)
    _serve_read_only(fs, shared, mountpoint, options)


def _serve_read_only(fs: Filesystem, shared: Shared, mountpoint: Path, options: MountOptions) -> None:
    prepare(mountpoint)
    try:
        serve(fs, shared.patience, mountpoint, options)
    finally:
        shared.pool.close()


def prepare(mountpoint: Path) -> None:
    """Create the mount point if it doesn't exist. Raises InvalidInput, Refused, Unsupported."""
    try:
        mountpoint.mkdir(parents=True, exist_ok=True)
        if any(mountpoint.iterdir()):
            raise Refused(f"{mountpoint} is not empty", "mount on an empty or new folder")
    except (FileExistsError, NotADirectoryError):
        raise InvalidInput(f"{mountpoint} is not a folder", "mount on a folder") from None
    except OSError as error:
        # Keep this order: is_mount() raises for a mount whose process has ended.
        if error.errno == errno.ENOTCONN or mountpoint.is_mount():
            hint = f"unmount the stale mount: fusermount3 -u {mountpoint}"
            raise Refused(f"can't read {mountpoint}: {error.strerror}", hint) from error
        raise
    if sys.platform == "linux" and not os.path.exists("/dev/fuse"):  # noqa: PTH110 - a device
        raise Unsupported("/dev/fuse does not exist", "load the fuse module, or pass the device to the container")


def serve(fs: Filesystem, patience: WaitPolicy, mountpoint: Path, options: MountOptions) -> None:
    """Mount, serve until it is unmounted or a signal comes, and unmount.

    Raises:
        Unsupported: the FUSE library is not installed.
        Unavailable: the system refused to mount.
    """
    library = check_library(options.library)
    try:
        binding = importlib.import_module(f"sheaf.mount.fuse.with_{library}")
    except (ImportError, OSError) as error:
        # The Python package is installed, but libfuse is not.
        raise Unsupported(f"can't load {library}: {error}", "install FUSE: apt-get install fuse3") from error
    try:
        binding.serve(fs, patience, mountpoint, options)
    except RuntimeError as error:
        raise Unavailable(
            f"can't mount on {mountpoint}: {error}",
            "check that FUSE (fuse3) is installed and that you may use /dev/fuse",
        ) from error
