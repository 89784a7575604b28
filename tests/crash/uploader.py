"""A process that uploads again and again until it is killed; prints the id of each bundle when it is committed.

uploader.py STORE FOLDER NAME
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import sheaf


def change(folder: Path, rng: random.Random) -> None:
    """Some small files and one that takes several chunks."""
    for _ in range(20):
        target = folder / f"{rng.randrange(8)}" / f"{rng.randrange(30)}.bin"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(rng.randbytes(rng.randrange(20_000)))
    (folder / "big").write_bytes(rng.randbytes(2_000_000))


def main(url: str, folder: Path, name: str) -> None:
    rng = random.Random(name)
    with sheaf.connect(url, cache=folder.with_name(f"{folder.name}-cache")) as store:
        repo = store.repo("faces")
        for n in range(10_000):
            change(folder, rng)
            repo.upload(
                folder,
                message=name,
                label=f"l{n}",
                move_label=True,
                on_commit=lambda bundle: print(bundle.id, flush=True),
            )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
