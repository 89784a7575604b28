"""A store in a folder in which objects are not what they should be, checked in a process whose memory is measured.

    python -m tests.hostile.giants WHAT FOLDER

makes a store in FOLDER, puts WHAT in the place of objects of each kind, checks the store, tries to open it with such a
record in its log, and prints the largest size that the process had, the kinds in which the check found damage, and what was
said of the record.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.hostile.bombs import peak

import sheaf
from sheaf.errors import SheafError
from sheaf.format import keys

__all__ = ["KINDS", "WHAT"]

GIANT = 3 << 30  # bytes, none of which is on the disk


def _giant(path: Path) -> None:
    path.touch()
    os.truncate(path, GIANT)


WHAT: dict[str, Callable[[Path], object]] = {
    "giant": _giant,
    "pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to("/etc/hostname"),
}
#: The kinds of problems that a check must report, by the folder of what is damaged.
KINDS = {keys.NODES: "node", keys.PACKS: "pack", keys.INDEX: "index", keys.ERASED: "notices", keys.RECEIPTS: "receipts"}


def main(what: str, folder: Path) -> None:
    """See above."""
    (folder / "in").mkdir()
    (folder / "in/one").write_bytes(bytes(range(256)) * 40)
    (folder / "in/two").write_bytes(b"two" * 1000)
    with sheaf.init(str(folder / "store")) as store:
        repo = store.create_repo("faces")
        repo.upload(folder / "in", message="to be erased")
        store.erasure.erase(address="faces@main:two", reason="x", now=True)
        for n in range(2):
            (folder / "in/two").write_bytes(b"three" * (1000 + n))
            repo.upload(folder / "in", message="m")
    for kind in KINDS:
        files = sorted(path for path in (folder / "store" / kind).rglob("*") if path.is_file())
        for path in files if kind == keys.PACKS else files[:1]:  # of packs some are needed by nobody
            path.unlink()
            WHAT[what](path)
    with sheaf.connect(str(folder / "store")) as store:
        found = {problem.kind for problem in store.check(read_data=True).problems}
    newest = min(path for path in (folder / "store/log").rglob("*") if path.is_file())
    newest.unlink()
    WHAT[what](newest)
    try:
        sheaf.connect(str(folder / "store"))
        said = "nothing"
    except SheafError as error:
        said = f"{error.kind}: {error.message}"
    print(json.dumps({"peak": peak(), "found": sorted(found), "said": said}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
