"""Diamonds: uploads that several machines make together."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from msgspec import structs

from sheaf.engine.clock import parse_time
from sheaf.engine.commit.diamonds import DiamondEnd, Mode, SplitDone, Splits, SplitStart
from sheaf.engine.commit.join_splits import close_diamond, ensure_not_canceled
from sheaf.engine.commit.writer import Draft, StoreWriter, committed
from sheaf.engine.context import Context
from sheaf.engine.manifest.node_store import root_of
from sheaf.engine.sessions.sessions import end_session, ensure_session_open, find_session, observe, open_session
from sheaf.errors import Conflict, Corrupt, InvalidInput, NotFound
from sheaf.format import keys
from sheaf.model.ids import is_ksuid
from sheaf.model.names import check_ref_name
from sheaf.repo.bundle import Bundle
from sheaf.transfer.local.scan import Skipped
from sheaf.transfer.progress import Meter, Progress
from sheaf.transfer.upload import folder_options, store_folder

__all__ = ["Diamond", "DiamondInfo", "SplitInfo"]


@dataclass(frozen=True, slots=True)
class DiamondInfo:
    """Facts about a diamond; ``bundle`` is the id of its bundle after the commit."""

    id: str
    state: Literal["initialized", "done", "canceled"]
    started: datetime
    ended: datetime | None
    bundle: str | None
    mode: Mode | None
    has_conflicts: bool
    has_checkpoints: bool
    tag: str


@dataclass(frozen=True, slots=True)
class SplitInfo:
    """Facts about a split; ``count`` is the number of files, known when it is done."""

    id: str
    state: Literal["running", "done"]
    started: datetime
    ended: datetime | None
    count: int
    tag: str
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()


class Diamond:
    """A diamond: an upload that several machines make together."""

    def __init__(self, context: Context, id: str) -> None:
        self._context = context
        self._splits = Splits(context.core, context.entry.id, id)
        self.id = id

    @classmethod
    def begin(cls, context: Context) -> Diamond:
        """Begin a diamond: a session that stays open until the diamond is committed or canceled."""
        session = open_session(context.core, context.entry.id, context.log, "diamond")
        diamond = cls(context, session.id)
        diamond._splits.begin()
        return diamond

    @classmethod
    def find(cls, context: Context, id: str) -> Diamond:
        """Find a diamond by its id. Raises NotFound."""
        if not is_ksuid(id):
            raise InvalidInput(
                f"'{id}' is not the id of a diamond", "pass the id printed by `sheaf diamond initialize`"
            )
        diamond = cls(context, id)
        diamond._splits.start()
        return diamond

    @staticmethod
    def ids(context: Context) -> list[str]:
        """Return the ids of a repo's diamonds, oldest first."""
        listed = context.core.backend.list(f"{keys.repo(context.entry.id)}diamonds/")
        return sorted(id for id in {stat.key.split("/")[3] for stat in listed} if is_ksuid(id))

    @property
    def info(self) -> DiamondInfo:
        """The current state of the diamond."""
        start, end = self._splits.start(), self._splits.end()
        bundle = self._committed()
        state: Literal["initialized", "done", "canceled"] = "initialized"
        if end is not None and (end.state == "canceled" or bundle):
            state = end.state
        folders = {entry.path for entry in bundle.ls()} if bundle else set()
        return DiamondInfo(
            self.id,
            state,
            parse_time(start.time),
            parse_time(end.time) if end else None,
            bundle.id if bundle else None,
            end.mode if end and end.state == "done" else None,
            ".conflicts" in folders,
            ".checkpoints" in folders,
            end.tag if end else "",
        )

    # -- splits --------------------------------------------------------------------------------------------------------

    def splits(self) -> list[SplitInfo]:
        """Return all splits, oldest first."""
        done = {split.generation: split for split in self._splits.done()}
        return [_split_info(start, done.get(start.generation)) for start in self._splits.started()]

    def split(self, name: str) -> SplitInfo:
        """Return a split. Raises NotFound."""
        for split in self.splits():
            if split.id == name:
                return split
        raise NotFound(f'didn\'t find split "{name}"', f"see `sheaf diamond split list --diamond {self.id}`")

    def add_split(
        self,
        path: str | Path,
        *,
        split_id: str | None = None,
        tag: str = "",
        files: Sequence[str] | None = None,
        name_filter: str | None = None,
        skip_on_error: bool = False,
        concurrency: int | None = None,
        allow_erased: bool = False,
        progress: Progress | None = None,
    ) -> SplitInfo:
        """Store a folder as a split of this diamond.

        Args:
            path: the folder.
            split_id: the name of the split, so that an interrupted one can be retried. The name of a split that is done
                can't be used again.
            tag: free text about the split.
            files: only these paths, relative to the folder.
            name_filter: only paths that match this regular expression.
            skip_on_error: skip files that can't be uploaded; the result names them.
            concurrency: the number of concurrent transfers.
            allow_erased: store erased contents again.

        Raises:
            Conflict: the diamond was committed or canceled in the meantime, without this split.
            Refused: a content was erased from the store, unless ``allow_erased``.
        """
        self._context.ensure_writable()
        name = check_ref_name(split_id) if split_id else self._context.core.clock.new_id()
        start = self._splits.begin_split(name, tag)
        session = find_session(self._context.core, self.id)
        core = self._context.core
        opened = observe(core, session)
        store = StoreWriter(core, self._context.nodes, opened, start.generation, allow_erased=allow_erased)
        options = folder_options(
            self._context.core,
            self._context.cache,
            path,
            files=files,
            skip_on_error=skip_on_error,
            concurrency=concurrency,
        )
        options = structs.replace(options, name_filter=_pattern(name_filter))
        meter = Meter(progress, "upload")
        stored = store_folder(store, None, options, meter)
        done = SplitDone(
            name,
            start.generation,
            start.time,
            self._context.core.now(),
            root_of(stored.root),
            stored.files,
            self._context.core.author,
            tag,
        )
        self._splits.end_split(done)
        meter.finish()
        return replace(_split_info(start, done), skipped=tuple(stored.skipped), warnings=tuple(stored.warnings()))

    # -- the end -------------------------------------------------------------------------------------------------------

    def commit(
        self,
        *,
        message: str,
        label: str | None = None,
        move_label: bool = False,
        branch: str | None = "main",
        mode: Mode = "enable-conflicts",
        tag: str = "",
        allow_empty: bool = False,
        on_commit: Callable[[Bundle], None] | None = None,
        progress: Progress | None = None,
    ) -> Bundle:
        """Join the finished splits into one bundle. If several splits have a path, the latest one wins.

        Args:
            message: the commit message.
            label: a label to set to the new bundle.
            move_label: move the label if it already points to another bundle.
            branch: the branch to commit to; None: none.
            mode: how to treat the conflicting versions of other splits: ``enable-conflicts`` keeps them below
                ``.conflicts/SPLIT/``, ``enable-checkpoints`` below ``.checkpoints/SPLIT/``, ``ignored`` drops them,
                ``forbids-conflicts`` raises Conflict.
            tag: free text about the diamond.
            allow_empty: commit a bundle even if the splits have no files.
            on_commit: called with the bundle immediately after the commit.

        Raises:
            Conflict: splits conflict and ``mode`` forbids it, or the diamond was already committed or canceled.
            NotFound: no split is finished.
            AlreadyExists: the label already exists, unless ``move_label``.
            Refused: the splits have no files, unless ``allow_empty``.
        """
        draft = Draft(message, branch, label, move_label=move_label)
        self._context.ensure_writable()
        if (bundle := self._committed()) is not None:
            end_session(self._context.core, self.id)
            raise Conflict(f"diamond {self.id} was already committed as bundle {bundle.id}")
        ensure_not_canceled(self.id, self._splits.end())
        draft.ensure_names(self._context.log.head().state)
        meter = Meter(progress, "join")
        opened = observe(self._context.core, find_session(self._context.core, self.id))
        store = StoreWriter(self._context.core, self._context.nodes, opened, self.id)
        try:
            root, files = close_diamond(
                self._context.core, self._context.nodes, self._splits, store, mode, tag, allow_empty=allow_empty
            )
        except Corrupt:  # gc may have ended this session, and swept what it was reading
            ensure_session_open(self._context.log, opened.session)
            raise
        descriptor = committed(self._context.core, self._context.log, opened, root, files, draft)
        bundle = Bundle(self._context, descriptor)
        if on_commit:
            on_commit(bundle)
        end_session(self._context.core, self.id)
        meter.finish()
        return bundle

    def cancel(self, tag: str = "") -> None:
        """Cancel the diamond. Raises Conflict if it is being committed."""
        self._context.store.ensure_writable()
        if self._splits.decide(DiamondEnd("canceled", self._context.core.now(), tag=tag)).state != "canceled":
            raise Conflict(f"diamond {self.id} is being committed")
        end_session(self._context.core, self.id)

    def _committed(self) -> Bundle | None:
        try:
            descriptor = self._context.refs.get(self.id)
        except NotFound:
            return None
        return Bundle(self._context, descriptor)


def _split_info(start: SplitStart, done: SplitDone | None) -> SplitInfo:
    began = parse_time(start.time)
    if done is None:
        return SplitInfo(start.name, "running", began, None, 0, start.tag)
    return SplitInfo(start.name, "done", began, parse_time(done.time), done.files, start.tag)


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise InvalidInput(f"'{text}' is not a regular expression: {error}") from error
