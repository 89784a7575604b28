"""Pages of documentation as what a reader would type: shell sessions and Python programs.

A page says what its reader doesn't see in HTML comments, each on lines of its own:

``<!-- setup`` … ``-->``        commands that come before what follows; they must succeed
``<!-- exits 5 -->``            the last command of the next block ends with this code; without it, all end with 0
``<!-- not run: reason -->``    the next block is only read
``<!-- server: s3 -->``         the page needs a bucket (s3, gcs or azure) or postgres
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]

#: Languages of blocks that are data to look at, not something to run.
DATA = frozenset({"text", "yaml", "json", "toml", "gitignore", "mermaid"})

_DIRECTIVE = re.compile(r"<!-- (exits|not run:|server:) ?(.*?) -->")


@dataclass(frozen=True, slots=True)
class Step:
    """One command, what the page says it prints, and its exit code. Lines are those of the page, from 0."""

    command: str
    output: tuple[str, ...]
    exit: int
    first_output_line: int


@dataclass(frozen=True, slots=True)
class Block:
    """Something to run. ``line`` is where it begins, from 1."""

    kind: Literal["setup", "console", "python"]
    line: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One file of documentation."""

    path: Path
    lines: tuple[str, ...]
    blocks: tuple[Block, ...]
    server: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))


_HERE_DOCUMENT = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?\s*$")


class Unclear(Exception):
    """A page has a block that is neither run nor excused."""


def pages() -> list[Path]:
    """All pages whose blocks are run; the reference of the command line has a test of its own."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
    return [path for path in found if path != ROOT / "docs/reference/cli.md"]


def read(path: Path) -> Page:
    lines = tuple(path.read_text(encoding="utf-8").splitlines())
    servers = [match[2] for line in lines if (match := _DIRECTIVE.fullmatch(line)) and match[1] == "server:"]
    return Page(path, lines, tuple(_blocks(path, lines)), servers[0] if servers else "")


def _blocks(path: Path, lines: tuple[str, ...]) -> Iterator[Block]:
    said: dict[str, str] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        if match := _DIRECTIVE.fullmatch(line):
            said[match[1]] = match[2]
        elif line == "<!-- setup":
            end = lines.index("-->", at)
            yield Block("setup", at + 1, (Step("\n".join(lines[at + 1 : end]), (), 0, at + 1),))
            at = end
        elif line.startswith("```"):
            end = lines.index("```", at + 1)
            yield from _fenced(path, lines, at, end, said)
            said = {}
            at = end
        at += 1


def _fenced(path: Path, lines: tuple[str, ...], at: int, end: int, said: dict[str, str]) -> Iterator[Block]:
    language = lines[at].removeprefix("```")
    if "not run:" in said or language in DATA:
        return
    if language == "console":
        yield Block("console", at + 1, tuple(_steps(lines, at + 1, end, int(said.get("exits", 0)))))
    elif language == "python":
        yield Block("python", at + 1, (Step("\n".join(lines[at + 1 : end]), (), 0, at + 1),))
    else:
        raise Unclear(f"{path}:{at + 1}: a block is console, python, one of {sorted(DATA)}, or says why it is not run")


def _steps(lines: tuple[str, ...], first: int, end: int, exit_code: int) -> Iterator[Step]:
    starts = [at for at in range(first, end) if lines[at].startswith("$ ")]
    for start, stop in zip(starts, [*starts[1:], end], strict=True):
        after = start + 1
        while after < stop and lines[after].startswith("> "):
            after += 1
        command = "\n".join(line[2:] for line in lines[start:after])
        if (match := _HERE_DOCUMENT.search(lines[start])) and match[1] not in command.splitlines()[1:]:
            # The shell would wait for the end of the document until the test is stopped.
            raise Unclear(f"line {start + 1}: nothing ends the document; its lines begin with '> '")
        yield Step(command, lines[after:stop], exit_code if stop == end else 0, after)
