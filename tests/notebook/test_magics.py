"""``%sheaf`` in a notebook."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest
from tests.notebook.conftest import Notebook

import sheaf

#: A picture of one dot.
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def faces(store: sheaf.Store) -> sheaf.Bundle:
    with store.create_repo("acme/faces", "people").edit(message="<b>first</b>", label="v1") as edit:
        edit.put("labels.csv", b"name,label\na,1\nb,2\n")
        edit.put("notes.txt", b"<script>alert()</script>")
        edit.put("raw.bin", bytes(range(256)))
        edit.put("pictures/dot.png", DOT)
        edit.symlink("link", "notes.txt")
        return edit.commit()


def test_a_bundle_becomes_a_variable(notebook: Notebook, faces: sheaf.Bundle) -> None:
    assert notebook("%sheaf use acme/faces@v1").id == faces.id
    assert notebook("faces.read('labels.csv')[:4]") == b"name"
    notebook("%sheaf use acme/faces@main mine --folder copy")
    assert notebook("(mine_folder / 'labels.csv').read_text()") == "name,label\na,1\nb,2\n"
    notebook("%sheaf use acme/faces@main mine --folder copy")  # a folder that is there is updated


def test_what_goes_wrong_is_one_line(notebook: Notebook, faces: sheaf.Bundle) -> None:
    from IPython.core.error import UsageError

    for line, words in {
        "%sheaf use acme/none": "didn't find repo",
        "%sheaf use acme/faces@v2": 'didn\'t find label or branch "v2"',
        "%sheaf show acme/faces@v1:none": "'none' not found",
        "%sheaf use acme/faces@v1 two-words": "is not a valid variable name",
        "%sheaf": "required",
        "%sheaf run --out acme/faces": "%%sheaf run",
        "%%sheaf use acme/faces\n1": "%%sheaf run",
        "%%sheaf run --out none\n1": "didn't find repo",
    }.items():
        with pytest.raises(UsageError, match=words.replace("%%", "%%")):
            notebook(line)


def test_bundles_repos_and_stores_show_themselves(notebook: Notebook, faces: sheaf.Bundle) -> None:
    shown = notebook.html(notebook("%sheaf use acme/faces"))
    assert faces.version in shown and "labels.csv" in shown and "image/png" in shown
    assert "&lt;b&gt;first" in shown and "<b>" not in shown
    assert "v1" in notebook.html(notebook("import sheaf; sheaf.connect().repo('acme/faces')"))
    assert "people" in notebook.html(notebook("%sheaf store"))
    assert faces.id in notebook("%sheaf log acme/faces@v1").data


def test_a_repo_without_bundles_shows_itself_too(notebook: Notebook, store: sheaf.Store) -> None:
    assert "no bundles yet" in notebook.html(store.create_repo("empty"))


def test_files_are_previewed(notebook: Notebook, faces: sheaf.Bundle) -> None:
    def show(path: str) -> str:
        html: str = notebook(f"%sheaf show acme/faces@v1:{path}").data
        return html

    assert "<th style='text-align:left'>label</th>" in show("labels.csv")
    assert base64.b64encode(DOT).decode() in show("pictures/dot.png")
    assert "dot.png" in show("pictures")
    assert "&lt;script&gt;" in show("notes.txt") and "<script>" not in show("notes.txt")
    assert "0001 0203" in show("raw.bin")
    assert "notes.txt" in show("link")
    assert notebook("%sheaf show acme/faces@v1").id == faces.id


def test_tables_show_their_first_rows(notebook: Notebook, store: sheaf.Store, faces: sheaf.Bundle) -> None:
    import io

    import pyarrow as pa
    from pyarrow import parquet

    table, whole = pa.table({"n": range(100)}), io.BytesIO()
    parquet.write_table(table, whole)
    with store.repo("acme/faces").edit(message="tables") as edit:
        edit.put("t.parquet", whole.getvalue())
        edit.put("broken.parquet", b"PAR1 is not enough")
        edit.put("wide.tsv", b"a\tb\n1\t2\n")
        edit.put("long.csv", b"n\n" + b"12345678\n" * 200_000)
        edit.commit()
    shown = notebook("%sheaf show acme/faces:t.parquet").data
    assert ">9</td>" in shown and ">10</td>" not in shown and "100 rows" in shown
    assert "PAR1" in notebook("%sheaf show acme/faces:broken.parquet").data
    assert ">2</td>" in notebook("%sheaf show acme/faces:wide.tsv").data
    assert "12345678" in notebook("%sheaf show acme/faces:long.csv").data


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_is_recorded_with_its_code_inputs_and_output(
    notebook: Notebook, store: sheaf.Store, faces: sheaf.Bundle
) -> None:
    store.create_repo("results")
    notebook("%sheaf use acme/faces@v1")
    notebook("%sheaf use acme/faces@v1 unused")
    code = "text = faces.read('labels.csv')\n(out / 'copy.csv').write_bytes(text)\nlen(text)\n"
    made = notebook(f"%%sheaf run --out results --message 'a copy' --label copy\n{code}")
    assert (made.message, made.author.name) == ("a copy", "ada")
    assert store.repo("results").bundle("label:copy").read("copy.csv") == faces.read("labels.csv")
    (id,) = store.runs.list()
    start, end = store.runs.get(id)
    assert end is not None
    assert start.environment["code"] == code
    assert start.inputs == (f"acme/faces@bundle:{faces.id}",)
    assert (end.outcome, end.exit, end.outputs) == ("succeeded", 0, (f"results@bundle:{made.id}",))
    assert id in notebook.shown[-1]["text/plain"]
    assert "out" not in notebook.shell.user_ns and notebook("len(text)") == 19


def test_inputs_can_be_named(notebook: Notebook, store: sheaf.Store, faces: sheaf.Bundle) -> None:
    store.create_repo("results")
    notebook("%%sheaf run --out results --in acme/faces@v1 --name target\ntarget.exists()")
    start, end = store.runs.get(store.runs.list()[0])
    assert start.inputs == (f"acme/faces@bundle:{faces.id}",)
    assert end is not None and (end.outcome, end.outputs) == ("succeeded", ())


@pytest.mark.parametrize(
    ("code", "raised", "outcome"),
    [
        ("(out / 'x').write_text('x')\n1 / 0", ZeroDivisionError, "failed"),
        ("1 +", SyntaxError, "failed"),
        ("raise KeyboardInterrupt", KeyboardInterrupt, "canceled"),
    ],
)
def test_a_run_that_fails_leaves_a_record_and_no_bundle(
    notebook: Notebook, store: sheaf.Store, code: str, raised: type[BaseException], outcome: str
) -> None:
    store.create_repo("results")
    with pytest.raises(raised):
        notebook(f"%%sheaf run --out results\n{code}")
    end = store.runs.get(store.runs.list()[0])[1]
    assert end is not None and (end.outcome, end.exit) == (outcome, 1)
    assert store.repo("results").bundles() == []


def test_another_store_can_be_chosen(notebook: Notebook, tmp_path: Path) -> None:
    with sheaf.init(str(tmp_path / "other")) as other:
        other.create_repo("theirs")
    assert notebook(f"%sheaf store {tmp_path / 'other'}").url.endswith("/other")
    assert [repo.name for repo in notebook("%sheaf store").repos()] == ["theirs"]


# -- code that awaits --------------------------------------------------------------------------------------------------

_AWAITING = """\
%%sheaf run --out results
import asyncio
await asyncio.sleep(0)
(out / 'x').write_text(str(asyncio.get_running_loop() is not None))
"""


def test_a_run_may_await(notebook: Notebook, store: sheaf.Store) -> None:
    results = store.create_repo("results")
    made = notebook(_AWAITING)
    assert results.bundle().id == made.id and made.read("x") == b"True"
    with pytest.raises(ZeroDivisionError):
        notebook("%%sheaf run --out results\nawait __import__('asyncio').sleep(0)\n1 / 0")
    ends = [store.runs.get(id)[1] for id in store.runs.list()]
    assert sorted(end.outcome for end in ends if end is not None) == ["failed", "succeeded"]


def test_cells_run_where_an_event_loop_runs(notebook: Notebook, store: sheaf.Store) -> None:
    """A notebook's kernel calls IPython from a loop that runs already."""
    results = store.create_repo("results")

    async def cell(code: str) -> sheaf.Bundle:
        shell = notebook.shell
        result = await shell.run_cell_async(code, transformed_cell=shell.transform_cell(code))
        result.raise_error()
        made: sheaf.Bundle = result.result
        return made

    async def kernel() -> None:
        assert (await cell(_AWAITING)).read("x") == b"True"
        assert (await cell("%%sheaf run --out results\n(out / 'y').write_text('2')")).read("y") == b"2"
        assert (await cell("%sheaf use results mine --folder taken")).id == results.bundle().id

    asyncio.run(kernel())


def test_a_run_that_awaits_is_refused_where_nobody_can_await_it(notebook: Notebook, store: sheaf.Store) -> None:
    from IPython.core.error import UsageError

    store.create_repo("results")
    with pytest.raises(UsageError, match="autoawait"):
        notebook.shell.run_cell_magic("sheaf", "run --out results", "await x")
    assert store.runs.list() == []
