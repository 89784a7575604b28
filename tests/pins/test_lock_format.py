"""The text of ``sheaf.lock``: what is written is read, git merges it by lines, and what is wrong is named."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheaf.errors import InvalidInput, Unsupported
from sheaf.pins.lock_format import Pin, check_folder, parse_pins, render_pins

ID, VERSION = "3MlGh35sXoKdlBmU6epKqia5hkK", "ab" * 32


def pin(folder: str, **values: str) -> Pin:
    return dataclasses.replace(Pin(folder, "faces", "main", ID, VERSION, "s3://bucket/sheaf"), **values)  # type: ignore[arg-type]


TEXT = render_pins([pin("data/faces"), pin("models", repo="nets", store="")])

names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=8)
folders = st.lists(names, min_size=1, max_size=3).map("/".join)


def is_allowed(folder: str) -> bool:
    try:
        return check_folder(folder) == folder
    except InvalidInput:
        return False


pins = st.builds(
    Pin,
    folders.filter(is_allowed),
    st.sampled_from(["faces", "acme/datasets/faces"]),
    st.sampled_from(["main", "label:v1", "v1.0+x", "main~2", ID]),
    st.just(ID),
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12).filter(
        lambda text: not text.startswith(("/", "~"))
    ),
)


@given(st.lists(pins, unique_by=lambda pin: pin.folder.split("/")[0], max_size=5))
def test_what_is_written_is_read(given: list[Pin]) -> None:
    text = render_pins(given)
    assert parse_pins(text) == {pin.folder: pin for pin in given}
    assert render_pins(parse_pins(text).values()) == text
    assert render_pins(reversed(given)) == text, "the order in which they were added leaves no trace"
    assert parse_pins(text.replace("\n", "\r\n")) == parse_pins(text), "as git writes it on Windows"


def test_it_is_a_block_for_each_folder() -> None:
    head, first, second = TEXT.split("\n\n")
    assert head.startswith("# ") and head.endswith("\nformat = 1")
    assert first.splitlines() == [
        '[folder."data/faces"]',
        'store = "s3://bucket/sheaf"',
        'repo = "faces"',
        'ref = "main"',
        f'bundle = "{ID}"',
        f'version = "{VERSION}"',
    ]
    assert second.splitlines()[:2] == ['[folder."models"]', 'repo = "nets"']
    assert [each.line for each in parse_pins(TEXT).values()] == [4, 11]


WRONG = [
    ("format = 1\n", "", 1, "the line 'format = 1' is missing"),
    ("format = 1", "format = 0", 2, "the format is not 1"),
    ("format = 1", "format = true", 2, "the format is not 1"),
    ("format = 1", "format = 1\nowner = 3", 3, "'owner' is not known"),
    ('repo = "faces"', "repo = faces", 6, "Invalid value"),
    ('repo = "faces"', "repo = 3", 6, "'repo' is not text in quotes"),
    ('repo = "faces"', 'repo = "../faces"', 6, "../faces"),
    ('repo = "faces"', "", 4, "'data/faces' has no line 'repo = …'"),
    ('repo = "faces"', 'repo = "faces"\nrepo = "nets"', 7, "Cannot overwrite a value"),
    ('repo = "faces"', 'rebo = "faces"', 6, "'rebo' is not known: expected store, repo, ref, bundle, version"),
    ('ref = "main"', 'ref = "a b"', 7, "a b"),
    (f'bundle = "{ID}"', f'bundle = "{ID[:-1]}"', 8, "is not the id of a bundle"),
    (f'version = "{VERSION}"', 'version = "AB"', 9, "is not a version"),
    ("s3://bucket/sheaf", "/srv/store", 5, "is not a URL, nor a path relative to the file"),
    ("s3://bucket/sheaf", "", 5, "is not a URL"),
    *(
        ("s3://bucket/sheaf", f"s3://bucket/sheaf?region=eu&{name}=x", 5, "can't have the option")
        for name in ("endpoint", "proxy", "credential", "key_file", "ca_file", "profile", "allow_http", "%65ndpoint")
    ),
    ("s3://bucket/sheaf", "file:///srv/store?key_file=/etc/passwd", 5, "can't have the option 'key_file'"),
    ("s3://bucket/sheaf", "s3://[bucket?endpoint=x", 5, "is not a URL"),
    ('"data/faces"', '"../faces"', 4, "is not a plain relative path"),
    ('"data/faces"', '"/faces"', 4, "is not a plain relative path"),
    ('"data/faces"', '".git/hooks"', 4, "belongs to git"),
    ('"data/faces"', '".GIT"', 4, "belongs to git"),
    ('"data/faces"', '"a\\nb"', 4, "control characters"),
    ('"data/faces"', '"models"', 11, "Cannot declare"),
    ('"data/faces"', '"models/x"', 4, "'models/x' is inside 'models', which is pinned, too"),
    ('[folder."data/faces"]', '[folder."data/faces"', 4, "Expected ']'"),
    ('[folder."data/faces"]', "[[folder]]", 4, "'folder' is not known"),
    ('ref = "main"', '<<<<<<< HEAD\nref = "main"\n=======\nref = "v2"\n>>>>>>> other', 7, "unresolved conflict"),
    ('ref = "main"\n', 'ref = "main"\n||||||| base\n', 8, "unresolved conflict"),
]


@pytest.mark.parametrize(("old", "new", "line", "what"), WRONG)
def test_what_is_wrong_is_named_with_its_line(old: str, new: str, line: int, what: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidInput) as caught:
        parse_pins(TEXT.replace(old, new, 1), "project/sheaf.lock")
    assert caught.value.message.startswith(f"project/sheaf.lock: line {line}: ")
    assert what in caught.value.message
    assert caught.value.hint and "\n" not in str(caught.value)


@given(st.integers(0, len(TEXT)), st.text(max_size=6), st.integers(0, 20))
def test_whatever_is_edited_is_read_or_named(at: int, text: str, less: int) -> None:
    try:
        parse_pins(TEXT[:at] + text + TEXT[at + less :])
    except InvalidInput as error:
        assert error.message.startswith("sheaf.lock: line ")
    except Unsupported as error:
        assert "format" in error.message


def test_a_newer_format_is_no_mistake_of_the_user() -> None:
    with pytest.raises(Unsupported, match="line 2: format 2 needs a newer Sheaf"):
        parse_pins(TEXT.replace("format = 1", "format = 2"))


# -- merges of git -----------------------------------------------------------------------------------------------------


class Repository:
    """A git repository with a lock file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *args: str, code: int = 0) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        done = subprocess.run(["git", *who, *args], cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout

    def commit(self, *pins: Pin) -> None:
        (self.root / "sheaf.lock").write_text(render_pins(pins))
        self.git("add", "sheaf.lock")
        self.git("commit", "--quiet", "--message", "m")

    def merged(self, base: list[Pin], ours: list[Pin], theirs: list[Pin], code: int = 0) -> str:
        self.commit(*base)
        self.git("checkout", "--quiet", "-b", "theirs")
        self.commit(*theirs)
        self.git("checkout", "--quiet", "main")
        self.commit(*ours)
        self.git("merge", "--quiet", "theirs", code=code)
        return (self.root / "sheaf.lock").read_text()


NEWER, OTHER = "3MlGhFdVcHjB1XzZgaPWGbOvNN9", "3MlGhR2SSAzBV0R3FC7iXm5Sg2F"


def test_git_merges_additions_at_different_places(tmp_path: Path) -> None:
    base = [pin("b", repo="b"), pin("d", repo="d")]
    text = Repository(tmp_path).merged(base, [pin("a"), *base], [*base, pin("e")])
    assert parse_pins(text) == {each.folder: each for each in [pin("a"), *base, pin("e")]}
    assert text == render_pins(parse_pins(text).values()), "as Sheaf would have written it"


def test_git_merges_moves_of_neighbours(tmp_path: Path) -> None:
    base = [pin("a"), pin("b"), pin("c")]
    ours = [pin("a", bundle=NEWER, version="cd" * 32), *base[1:]]
    theirs = [base[0], pin("b", bundle=OTHER, version="ef" * 32), base[2]]
    text = Repository(tmp_path).merged(base, ours, theirs)
    assert [*parse_pins(text).values()] == [ours[0], theirs[1], base[2]]


def test_additions_at_the_same_place_are_a_conflict_of_whole_blocks(tmp_path: Path) -> None:
    ours, theirs = pin("b", repo="ours", bundle=NEWER), pin("c", repo="theirs", bundle=OTHER, version="cd" * 32)
    text = Repository(tmp_path).merged([pin("a")], [pin("a"), ours], [pin("a"), theirs], code=1)
    with pytest.raises(InvalidInput, match=r"sheaf.lock: line 11: there is an unresolved conflict") as caught:
        parse_pins(text)
    assert "keep one whole block for each folder" in caught.value.hint
    kept = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(("<<<", "===", ">>>")))
    assert parse_pins(kept) == {"a": pin("a"), "b": ours, "c": theirs}, "both blocks are kept"


def test_two_moves_of_one_folder_are_a_conflict(tmp_path: Path) -> None:
    text = Repository(tmp_path).merged([pin("a")], [pin("a", bundle=NEWER)], [pin("a", bundle=OTHER)], code=1)
    with pytest.raises(InvalidInput, match="unresolved conflict"):
        parse_pins(text)
