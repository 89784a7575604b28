"""The pages of the site, as a hook of MkDocs (mkdocs.yml): the project's own files, where they are.

Pages link to each other and to files of the project as they lie in the repository, so that these links work on the forge.
The site therefore has the layout of the repository, with pages from outside of ``docs/`` too, and no link is rewritten.
"""

from __future__ import annotations

import logging
import re
from html import unescape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

#: Pages; what is generated for the manual and what is for the tests alone stays out.
PAGES = ("*.md", "docs/**/*.md", "bench/**/*.md")

_logger = logging.getLogger("mkdocs.hooks.site_pages")  # warnings below "mkdocs" count in a strict build
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_PRE = re.compile(r"<pre\b.*?</pre>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_TAB = "\ue000"  # no page has it
_COMMENT = re.compile(r"^<!--.*?-->\n?", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    return sorted({path for pattern in PAGES for path in ROOT.glob(pattern)})


def linked(page: Path) -> set[Path]:
    """The files of the project, other than pages, that a page links to or shows."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = {(page.parent / link).resolve() for link in _LINK.findall(text)}
    return {path for path in targets if path.suffix != ".md" and path.is_file() and path.is_relative_to(ROOT)}


def without_directives(markdown: str) -> str:
    """A page without its comments: directives of the tests, and commands that prepare what is shown.

    Tabs of blocks are replaced by ``_TAB``, since Markdown would make spaces of them.
    """
    parts, at = list[str](), 0
    for fence in _FENCE.finditer(markdown):
        parts += [_COMMENT.sub("", markdown[at : fence.start()]), fence[0].replace("\t", _TAB)]
        at = fence.end()
    return "".join([*parts, _COMMENT.sub("", markdown[at:])])


def on_files(files: Any, config: Any) -> Any:
    """Called by MkDocs with what it has found in ``docs/``."""
    from mkdocs.structure.files import File, Files

    found = [*pages(), *sorted(set[Path]().union(*map(linked, pages())))]
    ours = [File.generated(config, str(path.relative_to(ROOT)), abs_src_path=str(path)) for path in found]
    return Files([*ours, *(file for file in files if file.src_uri.startswith("assets/"))])


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with the text of each page."""
    return without_directives(markdown)


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Called by MkDocs with what became of it; warns of what was lost on the way, which fails a strict build."""
    html = html.replace(_TAB, "\t")
    for block in lost_blocks(page.markdown.replace(_TAB, "\t"), html):
        _logger.warning("%s: a block is not shown as it is written: %s…", page.file.src_uri, block[:40])
    return html


def lost_blocks(markdown: str, html: str) -> list[str]:
    """The fenced blocks of a page that its HTML doesn't show as they are."""
    shown = {unescape(_TAG.sub("", block)).strip("\n") for block in _PRE.findall(html)}
    blocks = [fence[0].partition("\n")[2].removesuffix("```").strip("\n") for fence in _FENCE.finditer(markdown)]
    return [block for block in blocks if block not in shown]
