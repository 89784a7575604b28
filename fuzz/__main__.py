"""All decoders, one after the other: `python -m fuzz SECONDS [NAME …]`.

With atheris if it is installed, which is guided by what the code does; else by chance alone, and that is said.
"""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
import time
from pathlib import Path

from fuzz.mutate import mutated
from fuzz.targets import Target, targets

CORPUS = Path(__file__).parents[1] / "tests" / "hostile" / "corpus"
MEMORY_MIB = 1024


def main() -> int:
    """The number of decoders that failed."""
    seconds = max(1, int(float(sys.argv[1])))
    chosen = {name: target for name, target in targets().items() if name in sys.argv[2:] or not sys.argv[2:]}
    is_guided = importlib.util.find_spec("atheris") is not None
    if not is_guided:
        print("atheris is not installed for this platform: inputs are changed by chance alone")
    failed = [name for name, target in chosen.items() if not (_guided if is_guided else _blind)(target, seconds)]
    print(f"{len(chosen)} decoders, {seconds} s each, failed: {', '.join(failed) or 'none'}")
    return len(failed)


def _guided(target: Target, seconds: int) -> bool:
    grown = Path(".fuzz") / target.name  # what atheris finds worth keeping; may be deleted at any time
    grown.mkdir(parents=True, exist_ok=True)
    (grown / "seed").write_bytes(target.seed)
    known = CORPUS / target.name
    known.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MIB}", "-timeout=10", "-verbosity=0"]
    command = [sys.executable, "-m", "fuzz.drive", target.name, str(grown), str(known)]
    done = subprocess.run(
        [*command, *options, "-print_final_stats=1", f"-artifact_prefix={known}/"],
        capture_output=True,
        text=True,
        check=False,
    )
    runs = next((line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line), "?")
    print(
        f"{target.name}: {runs} inputs" + ("" if done.returncode == 0 else f"\n{done.stdout}{done.stderr}"), flush=True
    )
    return done.returncode == 0


def _blind(target: Target, seconds: int) -> bool:
    chance, runs, end = random.Random(target.name), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutated(target.seed, chance)
        runs += 1
        try:
            target.run(data)
        except Exception as error:
            kept = CORPUS / target.name / f"crash-{runs}"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(data)
            print(f"{target.name}: {error!r} by {kept}")
            return False
    print(f"{target.name}: {runs} inputs", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
