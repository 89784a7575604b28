"""Where things are, how big they may get, and what must not be in the project."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
ARCHITECTURE = ROOT / "ARCHITECTURE.md"

FILE_LINES = 600
FUNCTION_LINES = 60
FUNCTION_IMPORTS = 63  # fewer are better

#: Machines of a registry, and places on somebody's machine.
NOT_HERE = re.compile(
    r"pythonhosted\.org|pypi\.org/simple|registry\.npmjs|deb\.debian\.org|"
    r"(?<![\w.~}])/(work|root|Users)/|/home/(?!you\b)\w",
    re.IGNORECASE,
)


def tracked() -> list[Path]:
    """The project's files; without git (an unpacked archive), those of the folders that hold its code."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        found = [path for folder in ("src", "tests", "docs", "scripts", "requirements") for path in walk(ROOT / folder)]
    return [path for path in found if path.is_file()]


def walk(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def python_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def test_no_file_is_too_long_to_live_in() -> None:
    long = {str(path): lines for path in python_files() if (lines := path.read_bytes().count(b"\n")) > FILE_LINES}
    assert not long


def test_no_function_is_too_long_to_read() -> None:
    long = [
        f"{path}:{name} has {lines} lines" for path in python_files() for name, lines in functions(path.read_text())
    ]
    assert not long


def functions(source: str) -> Iterator[tuple[str, int]]:
    """The functions that have more lines than they may; their docstrings are free."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring = (node.body[0].end_lineno or 0) - node.body[0].lineno + 1 if ast.get_docstring(node) else 0
        lines = (node.end_lineno or 0) - node.lineno + 1 - docstring
        if lines > FUNCTION_LINES:
            yield node.name, lines


def test_a_long_function_is_found_out() -> None:
    body = "    x = 1\n" * FUNCTION_LINES
    assert list(functions(f"def f():\n{body}")) == [("f", FUNCTION_LINES + 1)]
    assert not list(functions(f"def f():\n    '''Many\n\n    words.\n    '''\n{body[: -len('    x = 1') - 1]}"))


FOLDER_MODULES = 15

#: Flat catalogues: a module for each kind of object, a module for each noun.
CATALOGUES = ("format", "cli/commands")

#: Names that several modules have, and why.
MODULES_OF_ONE_NAME = {
    **dict.fromkeys(
        ("bundle", "config", "context", "diamond", "push", "repair", "repo", "store", "upload"),
        "a command's module has the name of its noun, which is that of what it calls",
    ),
    "clock": "the engine's, and the one that tests steer",
    "port": "the two ports, of storage and of a mount",
    "settings": "of sheaf, and datamon's on top of it",
}


def modules() -> dict[Path, str]:
    """The modules of Sheaf by their path below its folder, with their text; no ``__init__`` is among them."""
    source = ROOT / "src/sheaf"
    found = (path for path in walk(source) if path.suffix == ".py" and path.name != "__init__.py")
    return {path.relative_to(source): path.read_text(encoding="utf-8") for path in found}


def repeated(names: Iterable[str]) -> set[str]:
    return {name for name, times in Counter(names).items() if times > 1}


def public_classes(source: str) -> list[str]:
    return [
        node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def test_no_code_depends_on_what_was_imported_before() -> None:
    """A branch on ``sys.modules`` runs in one program and not in another, so tests see one side of it."""
    assert not [path for path in walk(ROOT / "src") if path.suffix == ".py" and "sys.modules" in path.read_text()]


def imports_in_functions(source: str) -> int:
    """How many statements inside a function import a module of Sheaf."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    found = {
        node for function in functions for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)
    }
    modules = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in found]
    return sum((module or "").split(".")[0] == "sheaf" for module in modules)


def test_few_functions_import_modules() -> None:
    """What takes long to import is a name of its package (``sheaf.lazy``), imported when it is first used."""
    counts = {path: count for path, source in modules().items() if (count := imports_in_functions(source))}
    assert sum(counts.values()) <= FUNCTION_IMPORTS, counts


def test_an_import_in_a_function_is_found() -> None:
    inside = "def f():\n    import sheaf\n    def g():\n        from sheaf.fork import Lock\n        import os\n"
    assert imports_in_functions(inside + "from sheaf import errors\n") == 2


def test_no_folder_has_too_many_modules() -> None:
    sizes = Counter(path.parent.as_posix() for path in modules())
    full = {folder: size for folder, size in sizes.items() if size > FOLDER_MODULES}
    assert full.keys() == {*CATALOGUES}, f"make a package of some: {full}"


def test_every_folder_of_modules_is_a_package_that_says_what_it_is_for() -> None:
    source = ROOT / "src/sheaf"
    inits = [source / folder / "__init__.py" for folder in {path.parent for path in modules()}]
    mute = [str(path) for path in inits if not path.exists() or not ast.get_docstring(ast.parse(path.read_text()))]
    assert not mute


def test_no_two_modules_have_one_name() -> None:
    assert repeated(path.stem for path in modules()) == MODULES_OF_ONE_NAME.keys()


def test_no_two_public_classes_have_one_name() -> None:
    assert not repeated(name for source in modules().values() for name in public_classes(source))


def test_a_name_that_is_there_twice_is_found_out() -> None:
    assert repeated(["a", "b", "a"]) == {"a"}
    assert public_classes("class A: ...\nclass _B: ...\ndef f():\n    class C: ...\n") == ["A"]


#: What reads a place by its own rules: the port and what stands before it, and what tries a place out.
READERS = ("storage", "torture", "testing")


def test_objects_are_read_up_to_the_limit_of_their_kind() -> None:
    unbounded = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / "src/sheaf").rglob("*.py"))
        if path.relative_to(ROOT / "src/sheaf").parts[0] not in READERS
        for line in unbounded_reads(path.read_text())
    ]
    assert not unbounded, "read them with sheaf.engine.objects.get_object"


#: Names that backends have; those of mappings and caches are others.
_PLACES = re.compile(r"(?:^|[._])(?:backend|inner|place|source|target|copy|primary|replica|store)$")


def unbounded_reads(source: str) -> Iterator[int]:
    """Lines that ask a place for a whole object without saying how long it may be."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            is_place = _PLACES.search(ast.unparse(node.func.value)) is not None
            if is_place and len(node.args) == 1 and not node.keywords:
                yield node.lineno


def test_a_read_without_a_limit_is_found_out() -> None:
    reads = "self._core.backend.get(key)\nsource.get(key)\nself.inner.get(k, limit)\nself._found.get(key)\n"
    assert list(unbounded_reads(reads)) == [1, 2]


#: What makes locks and pools, and what uses them in processes that nobody forks.
_FORKED = ("fork.py", "testing", "torture")
_UNSAFE = re.compile(r"\bThreadPoolExecutor\(|\bthreading\.(R?Lock|Condition|(Bounded)?Semaphore)\(")


def test_locks_and_pools_are_those_that_work_after_a_fork() -> None:
    hits = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "src/sheaf").rglob("*.py"))
        if path.relative_to(ROOT / "src/sheaf").parts[0] not in _FORKED
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _UNSAFE.search(line)
        or re.match(r"from (threading|concurrent\.futures) import .*\b(R?Lock|ThreadPool)", line)
    ]
    assert not hits, "take them from sheaf.fork"


#: What may read the environment: the settings; a cloud's own chain of credentials, as its library reads it; what sets
#: variables for a library that is loaded next; and completion, which gets its words so.
_ENVIRONMENT = (
    "cli/commands/completion.py",
    "cli/process_setup.py",
    "settings/settings.py",
    "storage/bucket/clients.py",
)


def test_the_environment_is_read_where_it_is_said_to_be() -> None:
    source = ROOT / "src/sheaf"
    found = {
        str(path.relative_to(source)) for path in sorted(source.rglob("*.py")) if reads_environment(path.read_text())
    }
    assert found == {*_ENVIRONMENT}
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in contributing for name in _ENVIRONMENT)


def reads_environment(source: str) -> bool:
    return any(
        isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.environb", "os.getenv")
        for node in ast.walk(ast.parse(source))
    )


def test_a_module_that_reads_the_environment_is_found_out() -> None:
    assert reads_environment("import os\nx = os.environ.get('HOME')\n")
    assert reads_environment("import os\nx = os.getenv('HOME')\n")
    assert not reads_environment("environ = {}\nenviron.get('x')\n")


def test_the_lock_of_what_sheaf_needs_is_what_its_dependencies_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements/runtime.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert {canonicalize_name(name) for name in locked} == needed(project["dependencies"])


def needed(lines: Iterable[str]) -> set[str]:
    """The packages that these requirements bring in here, by what their own metadata says."""
    found: set[str] = set()
    todo = [*lines]
    while todo:
        requirement = Requirement(todo.pop())
        name = canonicalize_name(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found.add(name)
            todo += importlib.metadata.requires(name) or []
    return found


def test_no_file_names_a_registry_or_a_place_on_a_machine() -> None:
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if NOT_HERE.search(line)
    ]
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize(
    "line", ["see /root/x", "in /home/somebody/x", "https://x.pythonhosted.org/x", "in /Users/x/y"]
)
def test_such_a_name_is_found_out(line: str) -> None:
    assert NOT_HERE.search(line)
    assert not NOT_HERE.search("/home/you/data, a/work/b and s3://bucket/root/")


def test_the_architecture_names_every_folder_and_only_what_is_there() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    folders = {path.parent.relative_to(ROOT / "src/sheaf") for path in (ROOT / "src/sheaf").rglob("*.py")}
    unnamed = [str(folder) for folder in folders if folder.name and f"{folder.name}/" not in text]
    assert not unnamed, "ARCHITECTURE.md doesn't name them"
    named = re.findall(r"`((?:src|tests|docs|scripts|deploy|requirements|bench)/[\w./-]*)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_what_is_pinned_is_what_the_project_asks_for() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=!~; \[]", line)[0].lower() for line in asked}
    for pinned in ("runtime.txt", "test.txt"):
        lines = (ROOT / "requirements" / pinned).read_text().splitlines()
        assert names <= {line.split("==")[0] for line in lines if "==" in line}, pinned


def test_every_pin_has_its_hashes() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        pins = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE))
        assert pins
        for pin in pins:
            assert "==" in pin and "--hash=sha256:" in pin, f"{path.name}: {pin.splitlines()[0]}"


def test_the_version_is_one() -> None:
    import sheaf

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == sheaf.__version__
    assert f"[{sheaf.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


_PATCHED = re.compile(
    r"""(?:setattr|patch|patch\.object)\(\s*(?:"[\w.]+\.|[\w.]+,\s*")(?P<name>_?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)["']"""
)
#: Constants that tests replace: no :class:`~sheaf.engine.core_limits.Limits` can have them.
PATCHED = {
    "_ADDRESS": "of the clouds' metadata service, which no test may reach",
    "_HELD": "the files of other tests",
    "_OPTIONS": "how an attacker compresses a node",
    "_WORK": "of passphrases: nothing but a test may make them cheap",
    "MAX_NODE": "what an attacker does not keep to",
    "WORKLOADS": "of the benchmarks",
}


def patched_constants(source: str) -> set[str]:
    return {found["name"] for found in _PATCHED.finditer(source)}


def test_sizes_are_handed_in_and_never_patched() -> None:
    tests = (path.read_text(encoding="utf-8") for path in walk(ROOT / "tests") if path.suffix == ".py")
    assert set().union(*map(patched_constants, tests)) == PATCHED.keys(), "make it a field of Limits, or a parameter"


def test_a_patched_constant_is_found_out() -> None:
    quoted = 'patch.setattr(packs, "{0}", 1)', 'mock.patch.object(a.b, "{0}", 2)', 'patch("sheaf.b.{0}", 3)'
    assert all(patched_constants(text.format(name)) == {name} for text in quoted for name in ("MANY", "_AT_ONCE_2"))
    assert not patched_constants('monkeypatch.setattr(Reader, "start", x); patch.object(Nodes, "_load", y)')
