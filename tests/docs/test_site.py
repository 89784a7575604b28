"""The site shows every page, without what is there for the tests. `make site` builds it, strictly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from scripts.site_pages import linked, lost_blocks, on_page_content, pages, without_directives
from tests.docs.pages import ROOT

BLOCK = "```console\n$ echo '<!-- kept -->'\na\tb\n```\n"


def in_navigation(entry: Any) -> Iterator[str]:
    match entry:
        case str():
            yield entry
        case list():
            for part in entry:
                yield from in_navigation(part)
        case dict():
            for part in entry.values():
                yield from in_navigation(part)


def test_the_navigation_has_every_page_once() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(in_navigation(config["nav"])) == sorted(str(page.relative_to(ROOT)) for page in pages())


def test_files_that_a_page_links_to_are_part_of_the_site() -> None:
    assert ROOT / "LICENSE" in linked(ROOT / "README.md")
    assert ROOT / "tests/garbage/simulation.py" in linked(ROOT / "docs/guarantees.md")
    assert not [path for page in pages() for path in linked(page) if path.suffix == ".md"]


def test_directives_are_left_out_and_blocks_are_not_touched() -> None:
    page = f"# A\n\n<!-- setup\nmkdir a\n-->\nText.\n\n<!-- exits 5 -->\n{BLOCK}"
    shown = without_directives(page)
    assert "mkdir" not in shown
    assert "exits" not in shown
    assert "# A\n\nText.\n" in shown
    assert "$ echo '<!-- kept -->'" in shown


def test_tabs_of_blocks_come_through() -> None:
    assert "\t" not in without_directives(BLOCK)
    block = without_directives(BLOCK).removeprefix("```console\n").removesuffix("```\n")
    page = type("Page", (), {"markdown": ""})
    assert "a\tb" in on_page_content(block, page)


def test_a_block_that_is_lost_is_found_out() -> None:
    shown = "<pre><code><span>$</span> echo &#39;&lt;!-- kept --&gt;&#39;\na\tb\n</code></pre>"
    assert lost_blocks(BLOCK, shown) == []
    assert lost_blocks(BLOCK, shown.replace("\t", " ")) == ["$ echo '<!-- kept -->'\na\tb"]
