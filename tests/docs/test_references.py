"""The references say what the code says."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import ROOT

import sheaf.repo
from sheaf import errors
from sheaf.cli.exits import EXITS

GENERATORS = ["errors_reference.py", "man_pages.py", "python_reference.py"]


@pytest.mark.parametrize("script", GENERATORS)
def test_a_generated_reference_is_up_to_date(script: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / script, "--check"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", sorted((ROOT / "docs/man").iterdir()), ids=lambda page: page.name)
def test_a_manual_page_is_well_formed(page: Path) -> None:
    if shutil.which("man") is None:
        pytest.skip("man is not installed: apt-get install man-db")
    command = ["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-l", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""
    shown = re.sub(".\b", "", done.stdout)  # what makes letters bold on a printer
    shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert all(word in shown for word in ("SYNOPSIS", "EXIT STATUS", "bundle upload"))


def test_every_category_has_its_row_and_every_exit_code_its_meaning() -> None:
    categories = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert categories == set(errors.RULES)
    assert {rule.exit for rule in errors.RULES.values()} <= set(EXITS)
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    assert all(f"`{cls.__name__}`" in page for cls in categories)


def test_every_error_is_in_the_tree_below_its_parent() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    drawn = page.split("```text\n")[1].split("```")[0].splitlines()
    depths = {line.lstrip("│├└─ ").split(" ")[0]: len(line) - len(line.lstrip("│├└─ ")) for line in drawn}
    for module in pkgutil.walk_packages(sheaf.repo.__path__, "sheaf.repo."):
        importlib.import_module(module.name)
    raised = [*public_below(errors.SheafError)]
    assert {"Erased", "Quarantined"} <= {child.__name__ for _, child in raised}
    assert all(depths[child.__name__] == depths[parent.__name__] + 4 for parent, child in raised)


def public_below(parent: type[Exception]) -> Iterator[tuple[type[Exception], type[Exception]]]:
    for child in parent.__subclasses__():
        if child.__module__.startswith("sheaf.") and not child.__name__.startswith("_"):
            yield parent, child
            yield from public_below(child)


def test_every_page_can_be_reached_from_the_readme() -> None:
    found, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        found.add(page)
        links = {(page.parent / link).resolve() for link in links_of(page)}
        waiting += [link for link in links - found if link.suffix == ".md" and link.exists()]
    assert not {path for path in ROOT.glob("docs/**/*.md") if path not in found}


def test_promises_are_numbered_once() -> None:
    guarantees = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
    numbers = [int(n) for n in re.findall(r"^### P(\d+) ", guarantees, re.MULTILINE)]
    assert numbers == [*range(1, len(numbers) + 1)]
    named = {int(n) for n in re.findall(r"\bP(\d+)\b", guarantees)}
    assert numbers and named == {*numbers}


def test_contributing_names_every_folder_of_tests_and_every_layer() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {name for name in folders if f"`tests/{name}`" not in contributing} == set()
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][
        0
    ]
    order = [re.findall(r"\w+", layer) for layer in reversed(layers["layers"])]
    drawn = contributing.split("```text\n")[1].split("```")[0]
    assert [set(re.findall(r"\w+", layer)) for layer in drawn.split("<")] == [set(layer) for layer in order]


def links_of(page: Path) -> list[str]:
    return [part.split(")")[0].split("#")[0] for part in page.read_text(encoding="utf-8").split("](")[1:]]
