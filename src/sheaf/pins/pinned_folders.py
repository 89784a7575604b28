"""Folders of a working tree that are pinned to bundles by ``sheaf.lock``: add, pull, compare, move."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sheaf import transfer
from sheaf.errors import AlreadyExists, Conflict, InvalidInput, NotFound, SheafError
from sheaf.local_errors import printable
from sheaf.model.paths import ancestors
from sheaf.model.records import Author
from sheaf.model.refs import parse_address
from sheaf.pins.lock_format import FILE_NAME, PORTABLE_OPTIONS, Pin
from sheaf.pins.working_tree import WorkingTree
from sheaf.repo.connect import connect
from sheaf.settings.settings import is_store_named, options_for, read_environment, read_sheaf
from sheaf.storage.open import is_path

if TYPE_CHECKING:
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.store import Store
    from sheaf.repo.values import Change
    from sheaf.transfer.download.download import Downloaded
    from sheaf.transfer.download.update import LocalChanges, Updated
    from sheaf.transfer.local.scan import Skipped
    from sheaf.transfer.progress import Progress

__all__ = ["FolderStatus", "Pins", "Pulled", "folder_status"]

_FILE: Final = "file://"
#: Opens the store of a URL or path; "" is the default store.
OpenStore = Callable[[str], "Store"]
State = Literal["clean", "changed", "missing", "outdated", "unavailable"]


@dataclass(frozen=True, slots=True)
class Pulled:
    """A pinned folder that was made equal to its bundle, and what that changed."""

    pin: Pin
    updated: Updated


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """A local folder, compared with a bundle.

    ``state``: "clean"; "changed" locally; "missing"; "outdated", if the folder is at another bundle than the pinned one
    (``changes`` are then since that one); "unavailable", if the bundle can't be read (``reason``). ``newest``: the id of
    the bundle that the ref of a pin points to now; "" if that is the pinned one.
    """

    folder: str
    repo: str
    bundle: str
    version: str
    state: State
    changes: list[Change] = field(default_factory=list)
    ref: str = ""
    newest: str = ""
    reason: str = ""


class Pins:
    """The pinned folders of the git repository, or other working tree, that a folder is in.

    Args:
        folder: any folder in the working tree.
        open_store: opens the store of a URL or path, "" for the default store. By default with the settings of the command
            line; a store named in the environment takes precedence over the one in the file.
    """

    def __init__(self, folder: str | Path = ".", *, open_store: OpenStore | None = None) -> None:
        self._tree = WorkingTree.around(Path(folder))
        self._open_store = open_store or _open_configured
        self._is_configured = open_store is None
        self._stores: dict[str, Store] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the stores that were opened."""
        self._stack.close()
        self._stores.clear()

    @property
    def root(self) -> Path:
        """The folder that contains ``sheaf.lock``, or will."""
        return self._tree.root

    def all(self) -> list[Pin]:
        """Return all pins, sorted by folder. Raises NotFound without a ``sheaf.lock``; InvalidInput if it is wrong."""
        pins = self._tree.pins()
        return [pins[folder] for folder in sorted(pins)]

    def find(self, names: Iterable[str | Path] = ()) -> list[Pin]:
        """Return the pins of folders, by name or local path, also of those below a folder; all pins without names.

        Raises NotFound if a name is not pinned, InvalidInput if it is empty.
        """
        pins = self.all()
        chosen: set[str] = set()
        for name in names:
            if not os.fspath(name):  # as a path it would be the current folder: an unset variable would name all pins
                raise InvalidInput("the name of a folder is empty", "name a pinned folder, or none for all of them")
            literal = os.fspath(name).strip("/")
            found = _at_or_below(pins, self._relative(Path(name))) or _at_or_below(pins, literal)
            if not found:
                known = ", ".join(printable(pin.folder) for pin in pins)
                raise NotFound(f"{printable(os.fspath(name))} is not pinned in {FILE_NAME}", f"pinned are: {known}")
            chosen |= found
        return [pin for pin in pins if pin.folder in chosen or not names]

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path.parent.resolve() / path.name, self.root)

    def add(
        self,
        source: str,
        folder: str | Path,
        *,
        store: str = "",
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> tuple[Pin, Downloaded]:
        """Download a bundle to a folder and pin it; in a git repository, also let git ignore the folder.

        Args:
            source: ``REPO@REF``; by default the head of ``main``. ``bump`` follows the ref.
            store: the URL or path of the store, "" for the default one. The path of a local folder is written relative
                to ``sheaf.lock``.
            overwrite: write to a folder that is not empty, and overwrite files.

        Raises:
            AlreadyExists: the folder is pinned, or inside a pinned one, or contains one.
            Refused: the folder is not empty (without ``overwrite``).
        """
        address = parse_address(source)
        if address.path:
            raise InvalidInput(f"'{source}': only whole bundles can be pinned", "write REPO or REPO@REF")
        place = Path(folder)
        name = self._tree.folder_of(place)
        if self._tree.file.exists():
            _ensure_free(self._tree.pins(), name)
        if not store and self._is_configured:
            store = _configured_store()
        if store and is_path(store):
            store = os.path.abspath(store)  # noqa: PTH100 - what a symlink leads to may differ on other machines
        ref = address.ref or "main"
        bundle = self._opened(store).repo(address.repo).bundle(ref)
        pin = Pin(name, address.repo, ref, bundle.id, bundle.version, self._portable(store))
        done = bundle.download(place, force=overwrite, progress=progress)
        self._tree.ignore(name)

        def decide(pins: dict[str, Pin]) -> Pin:
            _ensure_free(pins, name)
            return pin

        self._tree.change(decide)
        return pin, done

    def pull(
        self,
        names: Sequence[str | Path] = (),
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
        on_pulled: Callable[[Pulled], object] | None = None,
    ) -> list[Pulled]:
        """Make pinned folders equal to their bundles: all of them, or those of :meth:`find`.

        Args:
            overwrite: overwrite and delete local changes.
            on_pulled: called with each folder as soon as it is done.

        Raises:
            NotFound: a bundle, repo or store does not exist, or a name is not pinned.
            InvalidInput: ``sheaf.lock`` is wrong.
            Refused: local changes would be lost (without ``overwrite``). All other folders were pulled first.
        """
        done: list[Pulled] = []
        refused: list[LocalChanges] = []
        for pin in self.find(names):
            try:
                pulled = Pulled(pin, self._bring(pin, self._bundle(pin), overwrite=overwrite, progress=progress))
            except transfer.LocalChanges as error:
                refused.append(error)
                continue
            except SheafError as error:
                _name_refused(error, refused)
                raise
            done.append(pulled)
            if on_pulled:
                on_pulled(pulled)
        if refused:
            raise _all_of(refused)
        return done

    def status(
        self, names: Sequence[str | Path] = (), *, on_skipped: Callable[[str, Skipped], object] | None = None
    ) -> list[FolderStatus]:
        """Compare pinned folders with their bundles. Changes nothing, and fails for no single folder.

        Args:
            on_skipped: called with the folder and each path in it that can't be compared.
        """
        return [self._status(pin, on_skipped) for pin in self.find(names)]

    def bump(
        self,
        name: str | Path,
        ref: str | None = None,
        *,
        download: bool = True,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> tuple[Pin, Updated | None]:
        """Pin a folder to the bundle that a ref points to now, and make the folder equal to it.

        Args:
            ref: another ref to follow; by default the one it was added with.
            download: False: only change ``sheaf.lock``.
            overwrite: overwrite and delete local changes.

        Raises:
            Refused: local changes would be lost (without ``overwrite``). ``sheaf.lock`` is unchanged.
            Conflict: another process has changed the pin in the meantime.
        """
        found = self.find([name])
        if len(found) != 1:
            raise InvalidInput(
                f"{len(found)} pinned folders are below {printable(os.fspath(name))}", "name one of them"
            )
        (old,) = found
        bundle = self._opened(old.store).repo(old.repo).bundle(ref or old.ref)
        new = replace(old, ref=ref or old.ref, bundle=bundle.id, version=bundle.version)
        updated = self._bring_or_explain(new, bundle, overwrite=overwrite, progress=progress) if download else None

        def decide(pins: dict[str, Pin]) -> Pin:
            if pins.get(old.folder) != old:
                raise Conflict(
                    f"{FILE_NAME}: the pin of {old.folder} changed in the meantime", "check it and try again"
                )
            return new

        if new != old:
            self._tree.change(decide)
        return new, updated

    # -- one pin -------------------------------------------------------------------------------------------------------

    def _bring(self, pin: Pin, bundle: Bundle, *, overwrite: bool, progress: Progress | None) -> Updated:
        place = self._tree.place_of(pin.folder)
        if Path.cwd().is_relative_to(self.root):
            place = Path(os.path.relpath(place))  # as messages show it
        return bundle.update(place, force=overwrite, switch_repo=True, progress=progress)

    def _bring_or_explain(self, pin: Pin, bundle: Bundle, *, overwrite: bool, progress: Progress | None) -> Updated:
        try:
            return self._bring(pin, bundle, overwrite=overwrite, progress=progress)
        except transfer.LocalChanges as error:
            raise _all_of([error]) from error

    def _bundle(self, pin: Pin) -> Bundle:
        """The bundle of a pin. Raises NotFound, InvalidInput with the line of the pin."""
        where = f"{self._tree.shown(self._tree.file)}: line {pin.line}: {printable(pin.folder)}"
        move = f"run `sheaf bump {shlex.quote(pin.folder)} REF` to pin another bundle"
        try:
            repo = self._opened(pin.store).repo(pin.repo)
        except NotFound as error:
            raise NotFound(f"{where}: {error.message}", "name the store with --store URL or SHEAF_STORE") from error
        try:
            bundle = repo.bundle(f"bundle:{pin.bundle}")
        except NotFound as error:
            gone = [each.id for each in repo.deleted_bundles() if each.id == pin.bundle]
            undelete = (
                f"`sheaf bundle undelete --repo {pin.repo} --bundle {pin.bundle}` may restore it, or " if gone else ""
            )
            what = f"bundle {pin.bundle} was deleted" if gone else error.message
            raise NotFound(f"{where}: {what}", f"{undelete}{move}") from error
        if bundle.version != pin.version:
            raise InvalidInput(f"{where}: bundle {pin.bundle} has version {bundle.version}, not {pin.version}", move)
        return bundle

    def _status(self, pin: Pin, on_skipped: Callable[[str, Skipped], object] | None) -> FolderStatus:
        facts = (pin.folder, pin.repo, pin.bundle, pin.version)
        try:
            bundle, store, place = self._bundle(pin), self._opened(pin.store), self._tree.place_of(pin.folder)
            newest = _newest(store, pin)
            if not place.is_dir():
                return FolderStatus(*facts, "missing", ref=pin.ref, newest=newest)
            came = _origin(store, place)
            is_outdated = came is not None and came.version != pin.version
            base = came if came is not None and is_outdated else bundle
            changes = base.diff_folder(place, on_skipped=partial(on_skipped, pin.folder) if on_skipped else None)
        except SheafError as error:
            return FolderStatus(*facts, "unavailable", ref=pin.ref, reason=error.message)
        state: State = "outdated" if is_outdated else "changed" if changes else "clean"
        return FolderStatus(*facts, state, changes, ref=pin.ref, newest=newest)

    # -- stores --------------------------------------------------------------------------------------------------------

    def _opened(self, store: str) -> Store:
        """The store of a pin, as written in the file, or as named by the user."""
        url = str(self.root / store) if store and is_path(store) else store
        if url not in self._stores:
            self._stores[url] = self._stack.enter_context(self._open_store(url))
        return self._stores[url]

    def _portable(self, store: str) -> str:
        """A store as the file names it: the path of a folder relative to the file, since other machines have other ones."""
        if not store or not (is_path(store) or store.startswith(_FILE)):
            return _with_portable_options(store)
        folder = self._opened(store).url.removeprefix(_FILE)
        return os.path.relpath(Path(folder).resolve(), self.root)


def _at_or_below(pins: Iterable[Pin], folder: str) -> set[str]:
    """The pinned folders that are this one or below it; "." is the root."""
    return {pin.folder for pin in pins if folder in (".", pin.folder, *ancestors(pin.folder))}


def _with_portable_options(url: str) -> str:
    """A URL with only those options that ``sheaf.lock`` can contain."""
    parts = urlsplit(url)
    kept = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key in PORTABLE_OPTIONS]
    return urlunsplit(parts._replace(query=urlencode(kept, safe="/:"))) if parts.query else url


def folder_status(store: Store, folder: Path, *, on_skipped: Callable[[Skipped], object] | None = None) -> FolderStatus:
    """Compare a downloaded folder with the bundle that it came from. Raises NotFound without a record of it."""
    shown = printable(str(folder))
    bundle = _origin(store, folder)
    if bundle is None:
        raise NotFound(
            f"unknown which bundle {shown} came from", "compare it with a bundle: `sheaf diff REPO@REF ./DIR`"
        )
    facts = (shown, bundle.repo_name, bundle.id, bundle.version)
    if not folder.is_dir():
        return FolderStatus(*facts, "missing")
    changes = bundle.diff_folder(folder, on_skipped=on_skipped)
    return FolderStatus(*facts, "changed" if changes else "clean", changes)


def _origin(store: Store, folder: Path) -> Bundle | None:
    """The bundle that a folder was last made equal to, if that is known, in this store, and not deleted."""
    origin = transfer.origin_of(store.connected, folder)
    if origin is not None:
        with suppress(NotFound):
            return store.repo_of(folder).bundle(f"bundle:{origin.bundle}")
    return None


def _newest(store: Store, pin: Pin) -> str:
    """The id that the ref of a pin leads to now, "" if it is the pinned one, or none."""
    with suppress(SheafError):
        id = store.repo(pin.repo).bundle(pin.ref).id
        return "" if id == pin.bundle else id
    return ""


def _ensure_free(pins: dict[str, Pin], folder: str) -> None:
    """Raise AlreadyExists if a folder is pinned, or above or below a pinned one."""
    for other in pins:
        if folder == other:
            raise AlreadyExists(f"{printable(folder)} is already pinned", f"run `sheaf bump {shlex.quote(folder)} REF`")
        if folder in ancestors(other) or other in ancestors(folder):
            raise AlreadyExists(
                f"{printable(folder)} and {printable(other)}, which is pinned, contain each other",
                "choose another folder",
            )


def _all_of(refused: Sequence[LocalChanges]) -> LocalChanges:
    """One error for the folders whose local changes would be lost."""
    hint = "save them with `sheaf bundle upload`, or overwrite them with --overwrite"
    if not all(error.knows_base for error in refused):
        hint = f"unknown which bundle the folder came from; {hint}"
    return transfer.LocalChanges("; ".join(error.message for error in refused), hint)


def _name_refused(error: SheafError, refused: Sequence[LocalChanges]) -> None:
    """Add the earlier folders whose local changes would be lost to the message of an error that ends a pull."""
    error.message = "; ".join((error.message, *(each.message for each in refused)))


def _configured_store() -> str:
    """The store of the command line; "" for the one in the user's data folder."""
    settings = read_sheaf(read_environment(), {})
    return "" if settings.is_embedded else settings.store


def _open_configured(url: str) -> Store:
    """The store of a URL with the settings of the command line, or the store that the environment names."""
    environment = read_environment()
    settings = read_sheaf(environment, {})
    if not url or url == settings.store or is_store_named(environment, {}):
        return connect()
    return connect(
        url,
        options=options_for(settings, url),
        cache=settings.cache,
        author=Author(settings.name, settings.email),
        others=partial(options_for, settings),
    )
