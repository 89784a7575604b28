"""The folder that a store lies in is no place for data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import sheaf
from sheaf.errors import Refused
from sheaf.repo.bundle import Bundle

WRITES: dict[str, Callable[[Bundle, Path], object]] = {
    "download": lambda bundle, at: bundle.download(at, force=True),
    "update": lambda bundle, at: bundle.update(at, force=True),
}


@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("where", ["store", "store/packs", "link", "store/../store"])
def test_nothing_is_written_into_the_store_itself(tmp_path: Path, how: str, where: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "store")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("a")
    with sheaf.init(str(tmp_path / "store")) as store:
        bundle = store.create_repo("r").upload(tmp_path / "in", message="m").bundle
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(Refused, match="is inside the store"):
            WRITES[how](bundle, tmp_path / where)
        assert sorted(tmp_path.rglob("*")) == before
        WRITES[how](bundle, tmp_path / "in")
