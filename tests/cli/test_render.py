from __future__ import annotations

import contextlib
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sheaf.cli.output import views
from sheaf.cli.output.gotemplate import fill
from sheaf.cli.output.render import Output, View, to_json
from sheaf.errors import InvalidInput, Unsupported

VIEW: View[dict[str, str]] = View(
    line=lambda it: f"{it['a']} , {it['b']}",
    record=lambda it: it,
    columns=("A", "SIZE"),
    cells=lambda it: (it["a"], it["b"]),
    exact=lambda it: it["a"],
)
ITEMS = [{"a": "one", "b": "1"}, {"a": "größer", "b": "100"}, {"a": "日本", "b": "22"}]


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Output().listing(VIEW, ITEMS)
    assert capsys.readouterr().out == "one , 1\ngrößer , 100\n日本 , 22\n"


def test_plain_fields_are_exact_and_separated_by_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    moment = datetime(2026, 11, 21, 2, 18, 10, 500_000, tzinfo=UTC)
    cells = ("a\tb", 1 << 30, moment, moment.replace(microsecond=0), None)
    view: View[int] = View(
        line=str, record=lambda it: {}, columns=("A", "SIZE", "TIME", "CREATED", "X"), cells=lambda it: cells
    )
    Output(has_fields=True).listing(view, [1])
    assert capsys.readouterr().out == '"a\\tb"\t1073741824\t2026-11-21T02:18:10.5Z\t2026-11-21T02:18:10Z\t\n'
    Output().listing(view, [1])
    assert capsys.readouterr().out == "1\n"


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True, as_table=True).listing(VIEW, ITEMS, nul=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ITEMS


def test_exact_names_end_in_nul(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_table=True).listing(VIEW, ITEMS, nul=True)
    assert capsys.readouterr().out == "one\0größer\0日本\0"


def test_tables_line_up_also_with_wide_characters(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_table=True).listing(VIEW, ITEMS)
    assert capsys.readouterr().out == "A       SIZE\none        1\ngrößer   100\n日本      22\n"


def test_cells_are_text_and_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_table=True).listing(VIEW, [{"a": "[bold]x[/bold]", "b": "1"}])
    assert "[bold]x[/bold]" in capsys.readouterr().out


WIDE: View[tuple[str, str]] = View(
    line=" , ".join, record=lambda it: {"it": it}, columns=("VERDICT", "PROMISE", "WHY"), cells=lambda it: ("kept", *it)
)


@pytest.mark.parametrize("words", [3, 60])
def test_a_table_that_nobody_watches_is_as_wide_as_it_needs(words: int, capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_table=True).listing(WIDE, [("p" * 28, " ".join(["word"] * words))])
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["VERDICT", "PROMISE", "WHY"]
    assert row.split() == ["kept", "p" * 28, *["word"] * words]


BUNDLES: View[tuple[str, ...]] = View(
    line=" , ".join,
    record=lambda it: {"it": it},
    columns=("ID", "TIME", "FILES", "SIZE", "AUTHOR", "MESSAGE"),
    cells=lambda it: it,
)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [200, 80, 76, 60, 40])
def test_on_a_narrow_terminal_columns_give_way_and_ids_and_times_are_never_cut(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "25")  # without it a dumb terminal counts as 80 columns wide
    monkeypatch.setenv("TERM", "dumb")
    terminal = _Terminal()
    with contextlib.redirect_stdout(terminal):
        row = (
            "3MPcLBvBAV2qBrBuJ7tqRsji7e6",
            "2026-11-21 10:06:24Z",
            "1234",
            "219 MiB",
            "Maximiliane",
            "more of it, cleaned",
        )
        Output(as_table=True).listing(BUNDLES, [row])
    header, *lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    gone = {200: set(), 80: {"AUTHOR", "FILES"}, 76: {"AUTHOR", "FILES", "SIZE"}}
    gone |= {60: gone[76], 40: gone[76]}
    assert header.split() == [name for name in BUNDLES.columns if name not in gone[columns]]
    assert lines[0].startswith(row[0]) and row[1] in lines[0]
    assert "more of it, cleaned" in lines[0]
    assert len(lines) == 1
    assert max(map(len, lines)) <= max(columns, 27 + 2 + 20 + 2 + 19)
    assert "…" not in terminal.getvalue()


@pytest.mark.parametrize(
    "view", [views.LABEL, views.BRANCH, views.DIAMOND, views.REPO, views.DELETED_REPO, views.SPLIT]
)
def test_no_table_cuts_an_id_or_a_time(view: View[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("LINES", "25")  # without it a dumb terminal counts as 80 columns wide
    monkeypatch.setenv("TERM", "dumb")
    kinds = {"NAME": "n" * 40, "DESCRIPTION": "words " * 20, "AUTHOR": "a" * 30, "TAG": "t" * 30}
    kinds |= dict.fromkeys(("LABEL", "BRANCH"), "l" * 40) | dict.fromkeys(("FILES", "BUNDLES"), "12345")
    kinds |= dict.fromkeys(("ID", "BUNDLE"), "3MPcLBvBAV2qBrBuJ7tqRsji7e6")
    times = ("TIME", "CREATED", "STARTED", "DELETED")
    kinds |= dict.fromkeys(times, "2026-11-21 10:06:24Z")
    row = tuple(kinds.get(name, "word") for name in view.columns)
    terminal = _Terminal()
    with contextlib.redirect_stdout(terminal):
        Output(as_table=True).listing(replace(view, cells=lambda it: it), [row])
    first = terminal.getvalue().splitlines()[1]
    for name, cell in zip(view.columns, row, strict=True):
        assert name not in {"ID", "BUNDLE", "NAME", "LABEL", "BRANCH", *times} or cell in first, name
    assert "…" not in terminal.getvalue()


def test_what_only_people_read_is_left_out_of_json_and_templates(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).line("hello")
    Output(template="{{.a}}").line("hello")
    Output().object({"x": 1})
    assert capsys.readouterr().out == ""


def test_json_knows_times_and_paths() -> None:
    value = {"t": datetime(2026, 1, 2, tzinfo=UTC), "p": Path("/x")}
    assert to_json(value) == '{"t":"2026-01-02T00:00:00Z","p":"/x"}'


def test_templates_fill_fields_and_refuse_the_rest() -> None:
    fields = {"ID": "x", "Who": {"Name": "n"}, "At": datetime(2026, 1, 2, tzinfo=UTC)}
    assert fill("{{.ID}}-{{ .Who.Name }} {{.At}}", fields) == "x-n 2026-01-02 00:00:00 +0000 UTC"
    with pytest.raises(Unsupported, match="with"):
        fill("{{with .Who}}", fields)
    with pytest.raises(InvalidInput, match="unknown field"):
        fill("{{.Nope}}", fields)
