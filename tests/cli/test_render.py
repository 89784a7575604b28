from __future__ import annotations

import contextlib
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sheaf.cli.gotemplate import fill
from sheaf.cli.render import Output, View, to_json
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


@pytest.mark.parametrize("columns", [200, 80, 76])
def test_on_a_narrow_terminal_the_others_make_room_for_the_message(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
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
    header, line = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert header.split() == list(BUNDLES.columns)
    assert line.endswith("more of it, cleaned") and len(line) <= columns
    assert "2026-11-21" in line and "219 MiB" in line
    assert ("…" in line) == (columns < 200)


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
    with pytest.raises(InvalidInput, match="no field"):
        fill("{{.Nope}}", fields)
