"""The tutorial for notebooks, cell by cell."""

from __future__ import annotations

import json
from pathlib import Path

from tests.libraries import need
from tests.notebook.conftest import Notebook

TUTORIAL = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def test_the_tutorial_runs_from_top_to_bottom(notebook: Notebook) -> None:
    need("pandas")
    import fsspec
    from sheaf.fsspec import SheafFileSystem

    fsspec.register_implementation("sheaf", SheafFileSystem, clobber=True)
    cells = [cell for cell in json.loads(TUTORIAL.read_text())["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 10
    for cell in cells:
        notebook("".join(cell["source"]))


def test_the_tutorial_is_kept_without_what_it_printed() -> None:
    cells = json.loads(TUTORIAL.read_text())["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
