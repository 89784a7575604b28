"""What is used in a way that can't work is answered in one line that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

import sheaf
from sheaf.errors import InvalidInput, NotFound, Refused


def test_a_ref_is_no_bundle_to_compare_with(tmp_path: Path) -> None:
    with sheaf.init(str(tmp_path / "s")) as store:
        with (repo := store.create_repo("faces")).edit(message="m") as edit:
            edit.put("x", b"x")
            bundle = edit.commit()
        with pytest.raises(InvalidInput, match="can't compare a bundle with 'main'") as refused:
            bundle.diff("main")  # type: ignore[arg-type]
        assert "repo.bundle(" in refused.value.hint
        assert list(bundle.diff(repo.bundle("main"))) == []


def test_a_closed_store_says_that_it_is_closed(tmp_path: Path) -> None:
    with sheaf.init(str(tmp_path / "s")) as store, store.create_repo("faces").edit(message="m") as edit:
        edit.put("x", b"x" * 100)
        bundle = edit.commit()
    with pytest.raises(Refused, match="the store is closed"):
        bundle.read("x")


def test_a_store_that_is_not_there_is_made_with_init(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as missing:
        sheaf.connect(str(tmp_path / "none"))
    assert "sheaf.init(" in missing.value.hint
