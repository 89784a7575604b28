"""A root file system of this machine's programs, as far as pods need them: images can't be pulled in tests.

It has what the first stages of deploy/Dockerfile install: Debian's programs in their folders, and /opt/sheaf with the
packages of the same requirements, and the wheel.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from tests.docs.pages import ROOT

from sheaf.sidecar.postgres.programs import find_programs

__all__ = ["write_environment", "write_root"]

_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_PROGRAMS = ("sh", "cat", "chmod", "cp", "date", "env", "id", "ls", "mkdir", "mktemp", "mv", "rm", "sleep", "touch")
_MOUNT_PROGRAMS = ("fusermount3", "mount", "umount")
_MULTIARCH = Path("/usr/lib") / f"{os.uname().machine}-linux-gnu"
_REQUIREMENTS = ("runtime.txt", "mount.txt", "images.txt")
#: Parts of packages that no program imports.
_UNUSED = re.compile(r"/(tests?|include|idlelib|lib2to3|ensurepip|tkinter|dist-packages|site-packages)/|\.a$")
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")
_ACCOUNTS = (("root", 0), ("sheaf", 10001), ("postgres", 10002))


class Archive:
    """A tar file of a root file system. Files keep their mode; the owner is root."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "w")  # noqa: SIM115 - closed by `close`
        self._names: set[str] = set()

    def add_folder(self, name: str, mode: int = 0o755) -> None:
        self._add(tarfile.TarInfo(name), type=tarfile.DIRTYPE, mode=mode)

    def add_link(self, name: str, target: str) -> None:
        self._add(tarfile.TarInfo(name), type=tarfile.SYMTYPE, linkname=target)

    def add_text(self, name: str, text: str, mode: int = 0o644) -> None:
        data = text.encode()
        self._add(tarfile.TarInfo(name), io.BytesIO(data), size=len(data), mode=mode)

    def add_file(self, path: Path, name: Path | None = None) -> None:
        """A file with its contents: what a link points to, where the machine has a link."""
        with path.open("rb") as stream:
            found = os.fstat(stream.fileno())
            head = tarfile.TarInfo(str(name or path).lstrip("/"))
            self._add(head, stream, size=found.st_size, mode=found.st_mode & 0o7777, mtime=int(found.st_mtime))

    def _add(self, head: tarfile.TarInfo, stream: io.BufferedIOBase | None = None, **fields: object) -> None:
        if head.name in self._names:
            return
        self._names.add(head.name)
        for field, value in fields.items():
            setattr(head, field, value)
        self._tar.addfile(head, stream)

    def close(self) -> None:
        self._tar.close()


def write_root(path: Path) -> None:
    """Debian's part: a shell, Python, FUSE and PostgreSQL."""
    archive = Archive(path)
    _add_skeleton(archive)
    programs = [_program(name) for name in (*_PROGRAMS, *_MOUNT_PROGRAMS)]
    for program in programs:
        archive.add_file(program, Path("/usr/bin") / program.name)
    python = _add_python(archive)
    postgres = _add_postgres(archive)
    packages = [path for _, path in _packages() if ".so" in path.name]
    _add_libraries(archive, [*programs, *python, *postgres, *packages])
    archive.close()


def _add_skeleton(archive: Archive) -> None:
    for name in ("dev", "etc", "opt", "proc", "root", "run", "sys", "usr", "usr/bin", "usr/lib", "usr/lib64", "var"):
        archive.add_folder(name)
    archive.add_folder("tmp", 0o1777)
    archive.add_folder("var/tmp", 0o1777)
    for name in ("bin", "lib", "lib64"):
        archive.add_link(name, f"usr/{name}")
    archive.add_link("sbin", "usr/bin")
    archive.add_link("etc/mtab", "/proc/mounts")
    archive.add_text("etc/passwd", "".join(f"{name}:x:{n}:{n}::/tmp:/bin/sh\n" for name, n in _ACCOUNTS))
    archive.add_text("etc/group", "".join(f"{name}:x:{n}:\n" for name, n in _ACCOUNTS))
    archive.add_text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        archive.add_file(certificates)


def _program(name: str) -> Path:
    for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        if (path := Path(folder, name)).exists():
            return path
    raise FileNotFoundError(name)


def _add_python(archive: Archive) -> list[Path]:
    """The interpreter and its standard library, below /usr/local, where every user may read it."""
    base = Path(sys.base_prefix)
    program = (base / "bin" / _PYTHON).resolve()
    archive.add_file(program, Path("/usr/local/bin") / _PYTHON)
    archive.add_link("usr/local/bin/python3", _PYTHON)
    library = base / "lib" / _PYTHON
    files = list(_files(library))
    for path in files:
        archive.add_file(path, Path("/usr/local/lib") / _PYTHON / path.relative_to(library))
    return [program, *(path for path in files if path.suffix == ".so")]


def _add_postgres(archive: Archive) -> list[Path]:
    """The server without its compiler of queries, which needs LLVM."""
    programs = find_programs(None, {"PATH": ""}).folder
    version = programs.parent
    share = Path("/usr/share/postgresql") / version.name
    files = [path for path in _files(version) if "llvmjit" not in path.name and "bitcode" not in path.parts]
    for path in [*files, *_files(share), *_files(Path("/usr/share/zoneinfo"))]:
        archive.add_file(path)
    return [path for path in files if path.suffix == ".so" or path.parent.name == "bin"]


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _UNUSED.search(f"/{path.relative_to(folder)}"):
            yield path


def _add_libraries(archive: Archive, files: Iterable[Path]) -> None:
    """What the dynamic linker loads for these files. Others than the system's are put where it looks first."""
    done = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False)
    for text in sorted(set(_LIBRARY.findall(done.stdout))):
        path = Path(text)
        if path.name.startswith("ld-linux"):
            archive.add_file(path, Path("/usr/lib64") / path.name)
        elif not _is_of_package(path):
            archive.add_file(path, _MULTIARCH / path.name)


def _is_of_package(path: Path) -> bool:
    """Whether a package in the environment brings the library itself."""
    return path.is_relative_to(sys.prefix)


def write_environment(path: Path, wheel: Path) -> None:
    """The stages `build` and `build-mount`: /opt/sheaf with all packages, the wheel and its programs."""
    archive = Archive(path)
    target = Path("/opt/sheaf/lib") / _PYTHON / "site-packages"
    archive.add_text("opt/sheaf/pyvenv.cfg", "home = /usr/local/bin\ninclude-system-site-packages = false\n")
    for name in ("python", "python3", _PYTHON):
        archive.add_link(f"opt/sheaf/bin/{name}", f"/usr/local/bin/{_PYTHON}")
    for name, file in _packages():
        archive.add_file(file, target / name)
    for file in _installed(wheel):
        archive.add_file(file, target / file.relative_to(wheel.parent))
        if file.parent.name == "shell":
            archive.add_text(f"opt/sheaf/bin/{file.name}", file.read_text(), 0o755)
    for name in ("datamover", "backup"):
        archive.add_link(f"opt/sheaf/bin/{name}", f"{name}.sh")
    for name, module in (("sheaf", "main"), ("datamon", "datamon")):
        start = f"#!/opt/sheaf/bin/python\nfrom sheaf.cli.{module} import main\nmain()\n"
        archive.add_text(f"opt/sheaf/bin/{name}", start, 0o755)
    archive.close()


def _installed(wheel: Path) -> list[Path]:
    """The files of the wheel, next to it, compiled: the root file systems of pods are read-only."""
    with zipfile.ZipFile(wheel) as found:
        found.extractall(wheel.parent)
    folders = [path for path in wheel.parent.iterdir() if path.is_dir() and path.suffix != ".data"]
    subprocess.run([sys.executable, "-m", "compileall", "-q", wheel.parent / "sheaf"], check=True)
    return [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]


def _packages() -> Iterator[tuple[str, Path]]:
    """The files of all packages that the images contain, by their names in site-packages."""
    for line in _required():
        for file in importlib.metadata.distribution(line.name).files or []:
            path = Path(str(file.locate()))
            if not str(file).startswith("..") and not _UNUSED.search(f"/{file}") and path.is_file():
                yield str(file), path


def _required() -> Iterator[Requirement]:
    for name in _REQUIREMENTS:
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        for line in re.findall(r"^([\w.-]+==.*?) \\$", text, re.MULTILINE):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement
