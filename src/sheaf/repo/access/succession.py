"""Warn readers of a demoted primary: it may be out of date if a replica was promoted while it was unreachable.

Only its replicas record that. Replicas in folders are asked whenever a store is opened, which costs no request; others
only by operations that list the whole store anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from sheaf import engine
from sheaf.errors import Corrupt, SheafError, Unsupported
from sheaf.format.store_v1 import StoreConfig
from sheaf.model.records import StoreState
from sheaf.storage.port import Backend

__all__ = ["Succession"]

_PATIENCE_S = 0.5  # for folders: one may be on a file server that doesn't answer


class Succession:
    """Warn once, with ``warn``, if the store at ``url`` has a successor."""

    def __init__(
        self, url: str, config: StoreConfig, open_location: Callable[[str], Backend], warn: Callable[[str], None]
    ) -> None:
        self._url, self._config, self._open, self._warn = url, config, open_location, warn
        self._has_warned = False

    def ask_near(self, state: StoreState) -> None:
        """Ask the replicas in folders, without waiting for slow ones."""
        if near := [url for url in state.replicas if url.startswith(("file:", "/"))]:
            asking = threading.Thread(target=self._ask, args=(near, state.epoch), daemon=True)
            asking.start()
            asking.join(_PATIENCE_S)

    def ask_all(self, state: StoreState) -> None:
        """Ask all replicas; unreachable ones are skipped."""
        self._ask(state.replicas, state.epoch)

    def _ask(self, urls: Sequence[str], epoch: int) -> None:
        for url in urls if not self._has_warned else ():
            try:
                primary = engine.successor(self._open(url), self._config, epoch)
            except (Corrupt, Unsupported) as error:
                self._warn(f"can't read from {url} if it was promoted: {error.message}")
                continue
            except SheafError:  # it can't be reached
                continue
            if primary:
                self._has_warned = True
                self._warn(f"{primary} was promoted to primary: {self._url} may be behind; use --store {primary}")
                return
