"""The specification is complete: a reader that was written from it alone reads what was just written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.compat import stores
from tests.compat.independent_reader import Store as Independent
from tests.compat.stores import alive, described, independently
from tests.compat.test_golden import looked

import sheaf
from sheaf.repo.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store in a folder."""
    return sheaf.connect(f"file://{tmp_path}/store?durability=none", create=True)


def test_the_reader_cant_use_sheaf() -> None:
    source = "".join(
        (Path(stores.__file__).parent / f"independent_{name}.py").read_text() for name in ("reader", "format")
    )
    assert "import sheaf" not in source
    assert "from sheaf" not in source
    with pytest.raises(subprocess.CalledProcessError):
        stores.independent(Path("/nowhere"))


def test_a_large_folder_that_was_just_uploaded(store: Store, tmp_path: Path) -> None:
    """Several leaves below an inner node, many folders, and packs."""
    for n in range(5000):
        path = tmp_path / "in" / f"{n % 7}" / f"{n % 300:03}" / f"{n}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d\n" % (n // 2))
    repo = store.create_repo("large")
    bundle = repo.upload(tmp_path / "in", message="large").bundle
    with repo.edit(message="smaller") as edit:
        edit.remove("3/010")
        edit.copy("4", "9/moved", source=bundle)
        edit.commit()
    assert bundle.tree.root.level == 1
    assert described(store) == alive(independently(tmp_path / "store"))
    (tmp_path / "out").mkdir()
    stores.independent(tmp_path / "store", bundle.id, tmp_path / "out")
    assert looked(tmp_path / "out") == looked(tmp_path / "in")


def test_a_log_of_pages_and_deltas(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"a")
    repo = store.create_repo("labels")
    id = repo.upload(tmp_path / "in", message="one").bundle.id
    for n in range(1005):
        repo.set_label(f"label-{n:04}", id)
    repo.delete_label("label-0007")
    repo.upload(tmp_path / "in", message="two")  # whoever commits writes the page that is complete
    base = tmp_path / "store" / "repos" / repo.id
    assert len(list(base.glob("pages/*"))) == 1
    assert any(b'"delta":' in path.read_bytes() for path in base.glob("log/*/*.json"))
    assert alive(independently(tmp_path / "store")) == described(store)


def test_a_store_that_the_command_line_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "file").write_bytes(b"x" * 100_000)
    (folder / "link").symlink_to("file")
    command = [sys.executable, "-c", "from sheaf.cli.main import main; main()", "--store", str(tmp_path / "store")]
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    for arguments in (
        ("store", "init"),
        ("repo", "create", "--repo", "acme/faces", "--description", "d"),
        ("bundle", "upload", "--path", str(folder), "--repo", "acme/faces", "--message", "m", "--label", "init"),
    ):
        subprocess.run([*command, *arguments], env=environment, check=True, capture_output=True)
    with sheaf.connect(str(tmp_path / "store")) as store:
        found = described(store)
        assert found == alive(independently(tmp_path / "store"))
    (repo,) = found.values()
    (bundle,) = repo["bundles"].values()
    assert sorted(bundle["entries"]) == ["file", "link"]


CONTENTS = st.one_of(
    st.binary(max_size=20),
    st.integers(0, 3).map(lambda n: bytes([n]) * 300_000),
    st.integers(0, 9).map(lambda n: b"".join(b"%d;" % (i * n) for i in range(60_000))),
)
NAMES = st.text("ab.é", min_size=1, max_size=2).filter(lambda name: name not in (".", ".."))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map(tuple), CONTENTS, max_size=8), data=st.data())
def test_any_edits(store: Store, tmp_path: Path, files: dict[tuple[str, ...], bytes], data: st.DataObject) -> None:
    repo = store.create_repo(f"r{len(store.repos())}")
    for _ in range(2):
        with repo.edit(message="e") as edit:
            for path, content in files.items():
                if not any(path[:n] in files for n in range(len(path))):
                    edit.put("/".join(path), content, mode=data.draw(st.sampled_from([0o644, 0o755])))
            edit.commit()
    found = Independent(tmp_path / "store")
    for id, bundle in found.bundles(repo.id).items():
        entries = {f"{row['folder']}/{row['name']}".lstrip("/"): row for row in found.rows(bundle)}
        for name, row in entries.items():
            if row["kind"] == 0:
                assert b"".join(found.blocks(row)) == files[tuple(name.split("/"))]
        assert {entry.path for entry in repo.bundle(f"bundle:{id}").ls(recursive=True)} == set(entries)
