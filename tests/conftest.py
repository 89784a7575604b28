"""What holds for all tests."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

#: What a test may lack even where nothing may be skipped: rights that one account can't have together.
ALLOWED = ("root may", "not root", "no /dev/fuse")

#: Fixtures that start what only `make test-parts` installs.
HEAVY = {"azure_endpoint"}

#: Examples of a property, where it names no other number; the slow tier tries many more.
EXAMPLES = 500 if os.environ.get("SHEAF_PROFILE") == "nightly" else 40

# No deadlines: how long something takes says nothing about whether it is right.
settings.register_profile(
    "sheaf", deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("sheaf")


# A shell starts what runs in the background with SIGINT ignored, and every program below inherits that: tests that send
# this signal would wait for nothing.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--repeat N``: run each test N times, to look for races."""
    parser.addoption("--repeat", type=int, default=1, metavar="N", help="Run each test N times.")


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A real disk of one MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("root may mount a tmpfs, but this process may not")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def repetition(request: pytest.FixtureRequest) -> int:
    """Which time it is, from 0."""
    return int(request.param)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    times = metafunc.config.getoption("repeat")
    if times > 1:
        metafunc.fixturenames.append("repetition")
        metafunc.parametrize("repetition", range(times), indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests whose fixtures are heavy parts."""
    for item in items:
        if HEAVY & set(getattr(item, "fixturenames", ())):
            item.add_marker("parts")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where SHEAF_CI_NO_SKIP is set, a test that is skipped has failed: something was not installed."""
    report = yield
    reason = call.excinfo.value.msg if call.excinfo and isinstance(call.excinfo.value, pytest.skip.Exception) else ""
    if report.skipped and os.environ.get("SHEAF_CI_NO_SKIP") and not str(reason).startswith(ALLOWED):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for modules that are skipped whole, while tests are collected."""
    report = yield
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
    if (
        report.outcome == "skipped"
        and os.environ.get("SHEAF_CI_NO_SKIP")
        and not reason.removeprefix("Skipped: ").startswith(ALLOWED)
    ):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {reason}"
    return report
