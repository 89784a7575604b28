"""Plays a page and says where it isn't true."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import Block, Page, Step
from tests.docs.shell import Shell, shell

#: What differs from one run to the next, and what stands for it.
VARYING = (
    (re.compile(r"\"mtime_ns\":\d+"), "MTIME"),
    (re.compile(r"\b[0-3][0-9A-Za-z]{26}\b"), "ID"),
    (re.compile(r"\b20\d\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?( \+0000 UTC|Z)?"), "TIME"),
    (re.compile(r"127\.0\.0\.1:\d+"), "SERVER"),
    (re.compile(r"[\d.]+ (B|KiB|MiB) stored"), "SIZE stored"),  # what is compressed how well is up to a library
)


@dataclass(frozen=True, slots=True)
class Played:
    """What one command of a page did."""

    block: Block
    step: Step
    printed: tuple[str, ...]
    exit: int

    @property
    def is_true(self) -> bool:
        """Whether the page says so. ``…`` in a page stands for anything."""
        if self.exit != self.step.exit:
            return False
        return self.block.kind != "console" or says(self.step.output, self.printed)

    def __str__(self) -> str:
        printed = "\n".join(self.printed)
        said = "\n".join(self.step.output)
        return (
            f"line {self.step.first_output_line}: $ {self.step.command}\n"
            f"said (exit {self.step.exit}):\n{said}\nprinted (exit {self.exit}):\n{printed}"
        )


def says(expected: tuple[str, ...], printed: tuple[str, ...]) -> bool:
    parts = (re.escape(part) for part in _general(expected).split("…"))
    return re.fullmatch(".*".join(parts), _general(printed), re.DOTALL) is not None


def _general(lines: tuple[str, ...]) -> str:
    text = "\n".join(lines)
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    return text


def play(page: Page, folder: Path, surroundings: Mapping[str, str]) -> Iterator[Played]:
    """Runs all of a page in a new home below ``folder``."""
    home = folder / "home"
    home.mkdir()
    with shell(home, surroundings) as session:
        for block in page.blocks:
            for step in block.steps:
                yield _run(session, home, block, step)


def _run(session: Shell, home: Path, block: Block, step: Step) -> Played:
    command = step.command
    if block.kind == "python":
        program = home.parent / "program.py"
        program.write_text(step.command, encoding="utf-8")
        command = f"python '{program}'"
    if block.kind == "setup":
        command = f"set -e\n{command}\nset +e"
    printed, code = session.run(command)
    lines = printed.replace(str(home), "/home/you").splitlines()
    return Played(block, step, tuple(line.rstrip() for line in lines), code)


@contextmanager
def surroundings(server: str, folder: Path) -> Iterator[dict[str, str]]:
    """The variables that let a page reach the server it needs."""
    from tests.docs import servers  # heavy, and most pages need none

    with ExitStack() as stack:
        yield stack.enter_context(servers.SERVERS[server](folder)) if server else {}
