"""Stored bytes of snapshots of a PostgreSQL database, in both forms that the sidecar saves.

python -m bench.databases [ROWS]

Runs the sidecar and real servers in a temporary folder ($TMPDIR), which needs about eight times the size of the data
directory; 7,000,000 rows make one of about 1 GB. Prints a table in Markdown.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sheaf.sidecar.postgres.programs import find_programs

__all__ = ["main"]

_ROWS: Final = 7_000_000
_CREATE: Final = (
    "create table t as select i as id, md5(i::text) as a, md5((i * 7)::text) as b, (i * 31) % 1000 as c"
    " from generate_series(1, {rows}) i",
    "alter table t add primary key (id)",
)
#: What each run changes, by the row of the table.
_STEPS: Final = {
    "first snapshot": _CREATE,
    "nothing changed": ("select 1",),
    "1 % of the rows changed, next to each other": (
        "update t set a = md5(b || 'x') where id between {rows} / 2 and {rows} / 2 + {rows} / 100",
    ),
    "1 % of the rows changed, every hundredth": ("update t set a = md5(b || 'y') where id % 100 = 0",),
}


@dataclass(frozen=True)
class _Bench:
    """A store of its own for one form. ``source``: where the next run starts from."""

    home: Path
    form: str
    rows: int

    def snapshots(self) -> Iterator[tuple[str, int]]:
        """By the row of the table: the bytes that its snapshot has added to the store."""
        self._sheaf("store", "init")
        self._sheaf("repo", "create", "--repo", "databases")
        for at, (step, statements) in enumerate(_STEPS.items()):
            before = _bytes_of(self._store)
            self._run(at, statements)
            yield step, _bytes_of(self._store) - before

    def data_bytes(self, at: int) -> int:
        """What the sidecar has read for its upload in one run."""
        name = "db.dump" if self.form == "dump" else "db"
        return _bytes_of(self.home / f"data{at}" / name)

    @property
    def _store(self) -> Path:
        return self.home / "store"

    @property
    def _environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "HOME": str(self.home), "SHEAF_STORE": f"file://{self._store}"}

    def _sheaf(self, *words: str) -> None:
        subprocess.run(["sheaf", *words], check=True, env=self._environment, stdout=subprocess.DEVNULL)

    def _run(self, at: int, statements: tuple[str, ...]) -> None:
        data, coord, port = self.home / f"data{at}", self.home / f"coord{at}", _free_port()
        shutil.rmtree(self.home / f"data{at - 1}", ignore_errors=True)
        source = ["--source-repo", "databases", "--source-label", "last"] if at else []
        saves = ["--repo", "databases", "--message", str(at), "--label", "last", "--form", self.form]
        place = ["-c", str(coord), "--data-dir", str(data), "--port", str(port), "--poll-interval", "0.2"]
        self._sheaf("sidecar", "scripts", "--destination", str(self.home / "bin"))
        client = [find_programs(None, os.environ)["psql"], "-X", "-q", "-o", "/dev/null", "-h", "localhost"]
        client += ["-p", str(port), "-U", "postgres", "-v", "ON_ERROR_STOP=1"]
        words = [word for each in statements for word in ("-c", each.format(rows=self.rows))]
        wrapper = [str(self.home / "bin/wrap_application.sh"), "-c", str(coord), "-b", "postgres", "-d", "db", "--"]
        with (self.home / "log").open("ab") as log:
            sidecar = subprocess.Popen(
                ["sheaf", "sidecar", "postgres", *place, *source, *saves], env=self._environment, stderr=log
            )
            done = subprocess.run([*wrapper, *client, *words], env=self._environment, stdout=log, check=False)
        if sidecar.wait() or done.returncode:
            sys.exit(f"it failed: see {self.home / 'log'}")


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> None:
    """Measure both forms, and print the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else _ROWS
    home = Path(tempfile.mkdtemp(prefix="sheaf-bench-"))
    home.chmod(0o755)  # the server runs as another user
    print(f"{rows:,} rows\n\n| form | | MB | of the first |\n|---|---|---|---|")
    for form in ("raw", "dump"):
        (home / form).mkdir()
        bench, first = _Bench(home / form, form, rows), 0
        for at, (step, added) in enumerate(bench.snapshots()):
            if not at:
                first = added
                print(f"| {form} | uploaded at first | {bench.data_bytes(at) / 1e6:.1f} | |", flush=True)
            print(f"| {form} | {step} | {added / 1e6:.1f} | {added / first:.1%} |", flush=True)
    shutil.rmtree(home)


if __name__ == "__main__":
    main()
