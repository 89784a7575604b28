"""The programs of a data scientist, reading bundles and writing to branches through ``sheaf://``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.libraries import need

import sheaf
from sheaf.fsspec import SheafFileSystem

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own

AT = "sheaf://acme/faces@main"
SUM = sum(range(1000))


@pytest.fixture
def options(url: str, fs: SheafFileSystem) -> dict[str, str]:
    return {"store": url}


@pytest.fixture
def frame(options: dict[str, str]) -> Any:
    """Written by pandas, as x.csv and x.parquet."""
    pd = need("pandas")
    frame = pd.DataFrame({"a": range(1000), "b": [str(i) for i in range(1000)]})
    frame.to_csv(f"{AT}/x.csv", index=False, storage_options=options)
    frame.to_parquet(f"{AT}/x.parquet", storage_options=options)
    return frame


def test_pandas(frame: Any, options: dict[str, str], repo: sheaf.Repo) -> None:
    pd = need("pandas")
    assert pd.read_csv(f"{AT}/x.csv", storage_options=options).a.sum() == SUM
    assert pd.read_parquet(f"{AT}/x.parquet", storage_options=options).equals(frame)
    assert [bundle.message for bundle in repo.bundles()] == ["write x.csv", "write x.parquet"]


def test_polars(frame: Any, fs: SheafFileSystem) -> None:
    pl = need("polars")
    dataset = need("pyarrow.dataset")
    with fs.open(f"{AT}/x.parquet") as stream:
        assert pl.read_parquet(stream)["a"].sum() == SUM
    with fs.open(f"{AT}/x.csv") as stream:
        assert pl.read_csv(stream)["a"].sum() == SUM
    lazy = pl.scan_pyarrow_dataset(dataset.dataset("acme/faces@main/x.parquet", filesystem=fs))
    assert lazy.filter(pl.col("a") >= 998).collect().height == 2
    with fs.open(f"{AT}/y.parquet", "wb") as stream:
        pl.DataFrame({"y": [1, 2]}).write_parquet(stream)
    assert fs.exists(f"{AT}/y.parquet")


def test_duckdb(frame: Any, fs: SheafFileSystem) -> None:
    duckdb = need("duckdb")
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        assert connection.sql(f"select sum(a) from '{AT}/x.parquet'").fetchall() == [(SUM,)]
        assert connection.sql(f"select sum(a) from read_csv('{AT}/*.csv')").fetchall() == [(SUM,)]
        connection.sql(f"copy (select 7 as seven) to '{AT}/seven.parquet'")
        assert connection.sql(f"select * from '{AT}/seven.parquet'").fetchall() == [(7,)]


def test_dask(frame: Any, options: dict[str, str], fs: SheafFileSystem, repo: sheaf.Repo) -> None:
    dd = need("dask.dataframe")
    assert dd.read_csv(f"{AT}/*.csv", storage_options=options).a.sum().compute() == SUM
    dd.from_pandas(frame, npartitions=4).to_parquet(f"{AT}/parts", storage_options=options)
    again = dd.read_parquet(f"{AT}/parts", storage_options=options)
    assert again.npartitions == 4 and again.a.sum().compute() == SUM
    assert len(fs.glob(f"{AT}/parts/*.parquet")) == 4


def test_zarr(fs: SheafFileSystem, options: dict[str, str], repo: sheaf.Repo) -> None:
    zarr = need("zarr")
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

    with fs.transaction:
        store = zarr.storage.FsspecStore(AsyncFileSystemWrapper(fs, asynchronous=True), path="acme/faces@main/z")
        array = zarr.create_array(store, shape=(100, 100), chunks=(50, 50), dtype="f4")
        array[:] = 2
        array[3:7, 40:60] = 5  # reads chunks that nobody has committed
    assert len(repo.bundles()) == 1
    again = zarr.open_array(f"{AT}/z", mode="r", storage_options=options)
    assert again[:].sum() == 2 * 10_000 + 3 * 80
    assert again[5, 50] == 5


def test_huggingface_datasets(frame: Any, options: dict[str, str], tmp_path: Path) -> None:
    datasets = need("datasets")
    datasets.disable_progress_bars()
    kept: dict[str, Any] = {"storage_options": options, "cache_dir": str(tmp_path)}
    assert len(datasets.load_dataset("csv", data_files=f"{AT}/x.csv", **kept)["train"]) == 1000
    streamed = datasets.load_dataset("parquet", data_files=f"{AT}/*.parquet", streaming=True, **kept)["train"]
    assert sum(row["a"] for row in streamed) == SUM
    datasets.Dataset.from_pandas(frame).save_to_disk(f"{AT}/saved", storage_options=options)
    assert datasets.load_from_disk(f"{AT}/saved", storage_options=options)[5] == {"a": 5, "b": "5"}


class Files:
    """A dataset of the kind that everybody writes: an index of paths, opened one by one."""

    def __init__(self, fs: SheafFileSystem, folder: str) -> None:
        self.fs = fs
        self.paths = fs.find(folder)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> bytes:
        with self.fs.open(self.paths[i]) as stream:
            content: bytes = stream.read()
        return content


@pytest.mark.slow
def test_pytorch_loaders_with_workers(tmp_path: Path) -> None:
    torch = need("torch")
    with sheaf.init(str(tmp_path)) as store, store.create_repo("r").edit(message="files") as edit:
        for i in range(40):
            edit.put(f"{i:02}", f"{i:02}".encode())
        edit.commit()
    fs = SheafFileSystem(store=str(tmp_path), skip_instance_cache=True)
    files = Files(fs, "r@main")
    for method in ("fork", "spawn"):
        loader = torch.utils.data.DataLoader(
            files, batch_size=8, num_workers=2, multiprocessing_context=method, collate_fn=list
        )
        assert [content for batch in loader for content in batch] == [f"{i:02}".encode() for i in range(40)]
    fs.access.connection.close()
