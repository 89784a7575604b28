"""``python -m bench``: run the workloads, write the tables. See ``--help``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

from bench.harness import Bench
from bench.machine import busy, describe
from bench.profile import PROFILES, Profile
from bench.report import Report
from bench.tables import write_results
from bench.workloads import WORKLOADS, Workload

_SHM = Path("/dev/shm")


def main() -> int:
    """Returns the exit code: 0 if all was measured, whether or not targets are met, 1 if a workload failed."""
    options = _options()
    profile = PROFILES[options.profile]
    if options.slow:
        profile = replace(profile, slow_peers=True)
    if options.minutes:
        profile = replace(profile, minutes=options.minutes)
    options.work.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(options.work).free < profile.space_bytes:
        print(f"{options.work} needs {profile.space_bytes >> 30} GiB free; choose another with --work", file=sys.stderr)
        return 1
    report = Report()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.work) as work:
        shm = _in_memory(profile)
        try:
            bench = Bench(profile, Path(work), shm, report, _tell, only_peers=frozenset(options.peers))
            report.machine = {"profile": profile.name, **describe(Path(work), shm)}
            report.notes += busy(report.machine["load"], report.machine["cores"])
            _run(bench, options.only, options.results)
        finally:
            if shm:
                shutil.rmtree(shm, ignore_errors=True)
    for path in write_results(report, options.results):
        _tell(f"written: {path}")
    return 1 if report.failed else 0


def _options() -> argparse.Namespace:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Sheaf and other tools.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--profile", choices=PROFILES, default="quick", help="what is measured, see below (default: quick)"
    )
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="only these workloads, of any profile")
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME", help="only these beside Sheaf")
    parser.add_argument("--slow", action="store_true", help="also the slow peers, once each")
    parser.add_argument("--minutes", type=int, metavar="N", help="limit the time: fewer repetitions and peers")
    parser.add_argument(
        "--work", type=Path, default=here.parent / ".tools" / "bench", help="a folder on the disk to use"
    )
    parser.add_argument("--results", type=Path, default=here / "results", help="the folder for tables and charts")
    return parser.parse_args()


def _epilog() -> str:
    """The profiles with their workloads."""
    rows = [
        f"  {profile.name:6} {profile.minutes:3} minutes: {', '.join(profile.workloads) or 'all'}"
        for profile in PROFILES.values()
    ]
    return "\n".join(["profiles:", *rows])


def _in_memory(profile: Profile) -> Path | None:
    if not _SHM.is_dir() or shutil.disk_usage(_SHM).free < profile.space_bytes // 5:
        return None
    return Path(tempfile.mkdtemp(prefix="sheaf-bench-", dir=_SHM))


def _run(bench: Bench, only: list[str], results: Path) -> None:
    """Workload after workload; what is there is written after each, and one that fails ends none of the others."""
    begin = time.monotonic()
    chosen = {name: work for name, work in WORKLOADS.items() if _is_chosen(name, bench.profile, only)}
    left = sum(workload.weight for workload in chosen.values())
    for name, workload in chosen.items():
        bench.begin(workload.weight / left)
        left -= workload.weight
        _try(bench, name, workload)
        bench.report.machine["minutes"] = round((time.monotonic() - begin) / 60, 1)
        write_results(bench.report, results)
        _tell(f"-- {name} done after {bench.report.machine['minutes']} minutes")


def _is_chosen(name: str, profile: Profile, only: list[str]) -> bool:
    """``only``: names of workloads or of lines of the table; empty: what the profile has."""
    if only:
        return name in only or bool({*name.split("-")} & {*only})
    return not profile.workloads or name in profile.workloads


def _try(bench: Bench, name: str, workload: Workload) -> None:
    if bench.is_over:
        bench.report.failed[name] = "not run: the time of the whole run was used"
        return
    try:
        workload.measure(bench)
    except Exception as error:
        traceback.print_exc()
        bench.report.failed[name] = f"{type(error).__name__}: {error}"[:300]


def _tell(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
