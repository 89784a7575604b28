from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sheaf.errors import InvalidInput
from sheaf.transfer.local.ignore import Ignore
from sheaf.transfer.local.scan import scan

FILES = [
    "1.key",
    "u]x.key",
    "\u00e9",
    "aé",
    "a.txt",
    "b.log",
    "build/a.txt",
    "build/sub/b.log",
    "src/a.txt",
    "src/build/c.txt",
    "src/keep/b.log",
    "x y",
]


def kept(root: Path) -> set[str]:
    return {
        batch.path(row) for batch in scan(root, ignore=Ignore()) for row in range(len(batch)) if batch.kind[row] == 0
    }


def kept_by_git(root: Path) -> set[str]:
    """What git would add, were the files called .gitignore."""
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(root)}
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True, env=environment)
    command = ["git", "ls-files", "-z", "--others", "--exclude-per-directory=.sheafignore"]
    out = subprocess.run(command, cwd=root, check=True, env=environment, capture_output=True).stdout
    return {path for path in out.decode().split("\0") if path}


def make(root: Path, rules: dict[str, str]) -> None:
    for file in FILES:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    for folder, text in rules.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / ".sheafignore").write_bytes(text.encode())


RULES = [
    {"": "*.log\n"},
    {"": "build/\n"},
    {"": "/build\n"},
    {"": "*.log\n!src/keep/b.log\n"},
    {"": "*\n!*/\n!*.txt\n"},
    {"": "build\n", "src": "!build\n"},
    {"": "*.txt\n", "src": "!a.txt\n"},
    {"": "src/*\n!src/keep\n"},
    {"src": "/a.txt\nkeep/\n"},
    {"": "# comment\n\n\\#x\nx\\ y\n"},
    {"": "**/build\n"},
    {"": "src/**\n"},
    {"": "src/**/c.txt\n"},
    {"": "[ab].txt\n"},
    {"": ".sheafignore\n*.log\n"},
    {"": "a.txt   \n"},
    {"": "/*\n!/src\n/src/*\n!/src/keep\n"},
    {"build": "*\n", "src": "*\n!.sheafignore\n"},
    {"": "?.txt\r\n"},
    {"": "[[:digit:]]*.key\n"},
    {"": "[[:alpha:]].txt\n[![:space:]]y\n[[:nothing:]]*\n"},
    {"": "b[z-a].log\n[z-a]*\n*[z-a\n"},
    {"": "a.txt\t\n*.log\\\n"},
    {"": "***/c.txt\nsrc/***\n"},
    {"": "src/**foo/c.txt\nsrc**/b.log\n"},
    {"": "src[a/b]a.txt\nsrc[/]a.txt\nsrc[!x]a.txt\n"},
    {"": "*.log\f# no comment\n"},
    {"": "# a\x85*.log\n# b\u2028*.txt\n# c\x0b*\n# d\r*\n"},
    {"": "x\\ y \nx\\\\ \n"},
    {"": "?\u00e9\n"},
    {"": "//\n/\n!\n!/\n\\\n"},
    {"": "a.txt\0b.log\n"},
]


@pytest.mark.parametrize("rules", RULES)
def test_rules_mean_what_they_mean_to_git(tmp_path: Path, rules: dict[str, str]) -> None:
    make(tmp_path, rules)
    ours = kept(tmp_path)
    assert ours == kept_by_git(tmp_path)


PIECE = st.sampled_from(
    [
        "a",
        "b",
        ".",
        "-",
        "]",
        "!",
        "^",
        "#",
        " ",
        "\\",
        "*",
        "**",
        "***",
        "?",
        "[",
        "[!",
        "[^",
        "[a-b]",
        "[b-a]",
        "[]a]",
        "[a",
        "[a/b]",
        "[[:alpha:]]",
        "[[:digit:]",
        "[[:space:]]",
        "[[:x:]]",
        "[:alpha:]",
        "[[:alpha:]-z]",
        "[a\\]b]",
        "[--a]",
        "\\/",
        "\u00e9",
        *("a.txt", "b.log", "build", "src", "keep", "sub", "*.txt", "?.txt", "[a-b].*", "x y", "\t", "\f"),
    ]
)
PATTERN = st.lists(st.lists(PIECE, min_size=1, max_size=3).map("".join), min_size=1, max_size=3).map("/".join)
LINE = st.builds(
    lambda bang, slash, pattern, tail: f"{bang}{slash}{pattern}{tail}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "/", "**/"]),
    PATTERN,
    st.sampled_from(["", "", "/", "/**", "/*", " ", "  ", "\\ ", "\t", "\r", "\u2028*"]),
)
TEXT = st.lists(LINE, max_size=4).map("\n".join)
NAMES = st.sampled_from(
    ["a", "b", "a.txt", "b.log", "x y", "]", "-", "!a", "#a", "\u00e9", "a\\b", "1", "ab", "a\fb", "z ", "a-z"]
)
TREE = st.sets(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=6)


@settings(deadline=None)
@given(st.fixed_dictionaries({"": TEXT}, optional={"src": TEXT, "build": TEXT}), TREE)
def test_any_rules_mean_what_they_mean_to_git(rules: dict[str, str], more: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, rules)
        for path in sorted(more):
            with contextlib.suppress(NotADirectoryError, FileExistsError):  # a file is in the way of a folder
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).touch()
        ours = kept(root)
        assert ours == kept_by_git(root)


def test_the_ignore_file_itself_is_kept(tmp_path: Path) -> None:
    make(tmp_path, {"": "*.log\n"})
    assert ".sheafignore" in kept(tmp_path)


def test_a_folder_that_is_left_out_is_not_even_read(tmp_path: Path) -> None:
    make(tmp_path, {"": "build/\n"})
    os.mkfifo(tmp_path / "build" / "pipe")  # would be refused
    assert "a.txt" in kept(tmp_path)


def test_what_cannot_be_uploaded_can_be_ignored(tmp_path: Path) -> None:
    make(tmp_path, {"": "pipe\n"})
    os.mkfifo(tmp_path / "pipe")
    assert "a.txt" in kept(tmp_path)


def test_a_link_or_folder_of_that_name_is_no_rule(tmp_path: Path) -> None:
    make(tmp_path, {})
    (tmp_path / "rules").write_text("*\n")
    (tmp_path / ".sheafignore").symlink_to("rules")
    (tmp_path / "src" / ".sheafignore").mkdir()
    assert set(FILES) <= kept(tmp_path)


def test_rules_that_are_not_text_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".sheafignore").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match=r"sub/\.sheafignore"):
        kept(tmp_path)


def test_a_list_of_files_overrules(tmp_path: Path) -> None:
    make(tmp_path, {"": "*\n"})
    (batch,) = scan(tmp_path, ignore=Ignore(), files=["a.txt"])
    assert batch.name == ["a.txt"]
