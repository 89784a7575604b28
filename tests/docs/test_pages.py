"""Each page of the documentation is typed in, and says what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.check_page import play, says, surroundings
from tests.docs.pages import ROOT, Page, Unclear, pages, read

#: Pages with nothing to run, which the others link to.
LINKED = [ROOT / name for name in ("ARCHITECTURE.md", "CHANGELOG.md", "bench/README.md", "bench/NOTES.md")]

#: What pages need that the usual tests do not have.
HEAVY = ("azure", "postgres")


def page_of(tmp_path: Path, text: str) -> Page:
    path = tmp_path / "page.md"
    path.write_text(text)
    return read(path)


def played(tmp_path: Path, text: str) -> list[bool]:
    return [step.is_true for step in play(page_of(tmp_path, text), tmp_path, {})]


def played_pages() -> list[object]:
    """All pages; those on an emulator that is a heavy part are marked so."""
    heavy = [pytest.mark.parts]
    return [
        pytest.param(path, marks=heavy if read(path).server in HEAVY else [], id=str(path.relative_to(ROOT)))
        for path in pages()
    ]


@pytest.mark.parametrize("path", played_pages())
def test_what_a_page_shows_is_what_happens(path: Path, tmp_path: Path) -> None:
    page = read(path)
    with surroundings(page.server, tmp_path) as variables:
        wrong = [str(step) for step in play(page, tmp_path, variables) if not step.is_true]
    assert not wrong, f"{page.name}: (make docs writes what is printed)\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", [*pages(), *LINKED], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_project_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", path.read_text(encoding="utf-8"))
    for link, heading in links:
        target = (path.parent / link).resolve() if link else path
        assert target.exists(), f"{link} is not there"
        assert not heading or heading in headings(target), f"{link}#{heading} is not there"


def headings(path: Path) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    titles = [line.lstrip("#").strip().lower() for line in lines if re.match(r"#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def test_a_page_that_says_something_else_is_found_out(tmp_path: Path) -> None:
    assert played(tmp_path, "```console\n$ echo one\ntwo\n$ echo three\nthree\n```\n") == [False, True]


def test_a_page_whose_command_fails_is_found_out(tmp_path: Path) -> None:
    assert played(tmp_path, "```console\n$ false\n```\n") == [False]


def test_a_page_may_say_that_a_command_fails(tmp_path: Path) -> None:
    assert played(tmp_path, "<!-- exits 3 -->\n```console\n$ true\n$ (exit 3)\n```\n") == [True, True]


def test_folder_and_variables_stay_from_block_to_block(tmp_path: Path) -> None:
    text = "<!-- setup\nmkdir a\ncd a\nx=1\n-->\n```console\n$ echo $x; pwd\n1\n/home/you/a\n```\n"
    assert played(tmp_path, text) == [True, True]


def test_a_python_block_that_raises_is_found_out(tmp_path: Path) -> None:
    assert played(tmp_path, "```python\nimport sheaf\n```\n\n```python\nraise ValueError\n```\n") == [True, False]


def test_ids_and_times_may_differ_and_nothing_else(tmp_path: Path) -> None:
    assert says(("2PtCxQ1vZ8mJkYw3hTn5rBfLd7s , 2026-01-01T00:00:00Z",), ("0" * 27 + " , 2027-12-31T01:02:03.456Z",))
    assert not says(("2PtCxQ1vZ8mJkYw3hTn5rBfLd7s , 1",), ("0" * 27 + " , 2",))
    assert says(("a", "…", "z"), ("a", "b", "c", "z"))
    assert not says(("a", "…", "z"), ("a", "b", "c"))


def test_a_document_that_does_not_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unclear, match="line 2"):
        page_of(tmp_path, "```console\n$ cat > a <<'END'\none\nEND\n```\n")
    assert page_of(tmp_path, "```console\n$ cat > a <<'END'\n> one\n> END\n```\n").blocks


def test_no_block_is_silently_left_out(tmp_path: Path) -> None:
    with pytest.raises(Unclear):
        page_of(tmp_path, "```sh\nsheaf ls\n```\n")
    assert not page_of(tmp_path, "<!-- not run: it needs a pod -->\n```sh\nsheaf ls\n```\n").blocks
