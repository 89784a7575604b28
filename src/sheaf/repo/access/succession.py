"""Whether another place became the primary while this one was away: then what is read here may be old, and that is said.

The place itself can't know; its replicas do. Those in folders are asked whenever a store is opened, which takes no
request; the others only by what lists the whole store anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from sheaf.engine.replicas.promotion import successor
from sheaf.errors import Corrupt, SheafError, Unsupported
from sheaf.format.store_v1 import StoreConfig
from sheaf.model.records import StoreState
from sheaf.storage.port import Backend

__all__ = ["Succession"]

_PATIENCE_S = 0.5  # for folders: one may be on a file server that doesn't answer


class Succession:
    """Says once, with ``tell``, that the store at ``url`` has a successor."""

    def __init__(
        self, url: str, config: StoreConfig, open: Callable[[str], Backend], tell: Callable[[str], None]
    ) -> None:
        self._url, self._config, self._open, self._tell = url, config, open, tell
        self._was_told = False

    def ask_near(self, state: StoreState) -> None:
        """Ask the replicas in folders; one that takes its time is not waited for."""
        if near := [url for url in state.replicas if url.startswith(("file:", "/"))]:
            asking = threading.Thread(target=self._ask, args=(near, state.epoch), daemon=True)
            asking.start()
            asking.join(_PATIENCE_S)

    def ask_all(self, state: StoreState) -> None:
        """Ask all replicas; those that can't be reached are passed over."""
        self._ask(state.replicas, state.epoch)

    def _ask(self, urls: Sequence[str], epoch: int) -> None:
        for url in urls if not self._was_told else ():
            try:
                primary = successor(self._open(url), self._config, epoch)
            except (Corrupt, Unsupported) as error:
                self._tell(f"{url} can't say whether it was promoted: {error.message}")
                continue
            except SheafError:  # it can't be reached
                continue
            if primary:
                self._was_told = True
                self._tell(
                    f"{primary} was promoted and is the primary now: {self._url} may be behind; use --store {primary}"
                )
                return
