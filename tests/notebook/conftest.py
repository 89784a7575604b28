"""A notebook's shell inside the test's process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.libraries import need

import sheaf


@dataclass
class Notebook:
    """Runs cells; ``shown`` is what they displayed, as MIME bundles."""

    shell: Any
    shown: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, code: str) -> Any:
        """The value of a cell. Raises what it raises."""
        result = self.shell.run_cell(code)
        result.raise_error()
        return result.result

    def html(self, value: object) -> str:
        """How a value looks."""
        data, _ = self.shell.display_formatter.format(value)
        html: str = data["text/html"]
        return html


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def store(url: str) -> Iterator[sheaf.Store]:
    with sheaf.init(url, options=sheaf.StorageOptions(durability="none")) as store:
        yield store


@pytest.fixture
def notebook(url: str, store: sheaf.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    shells = need("IPython.core.interactiveshell")
    for name in ("HOME", "IPYTHONDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("SHEAF_STORE", url)
    monkeypatch.setenv("SHEAF_NAME", "ada")
    monkeypatch.chdir(tmp_path)
    shell = shells.InteractiveShell()
    shell.history_manager.enabled = False
    notebook = Notebook(shell)
    monkeypatch.setattr(shell.display_pub, "publish", lambda data, **rest: notebook.shown.append(data))
    notebook("%load_ext sheaf")
    yield notebook
    notebook("%unload_ext sheaf")
    shell.history_manager.end_session() if hasattr(shell.history_manager, "end_session") else None
