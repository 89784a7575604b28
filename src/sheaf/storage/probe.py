"""Test a location before a store is created in it: some S3 look-alikes break rules silently."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sheaf.errors import Corrupt, NotFound, Refused, SheafError, Unsupported
from sheaf.fork import Threads
from sheaf.storage.emptiness import remove_folders
from sheaf.storage.port import Backend, Created, Stat

__all__ = ["ProbeFinding", "ProbeReport", "ensure_safe", "probe"]

_RACERS = 6


@dataclass(frozen=True, slots=True)
class ProbeFinding:
    """The result for one rule. ``kept``: None if it can't be checked from here; ``sentence``: what was seen, for users."""

    rule: str
    kept: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """The findings about a location. ``ordered``: whether it listed keys in ascending order."""

    url: str
    findings: tuple[ProbeFinding, ...]
    ordered: bool

    @property
    def broken(self) -> tuple[ProbeFinding, ...]:
        """The rules that the location breaks."""
        return tuple(finding for finding in self.findings if finding.kept is False)


def ensure_safe(report: ProbeReport) -> None:
    """Raise ``Refused``, naming the first broken rule, since such a location would lose data sooner or later."""
    for finding in report.broken:
        hint = "set ordered=no in the store's URL" if finding.rule == "ordered listing" else "choose another store"
        raise Refused(f"{report.url} fails the check {finding.rule!r}: {finding.sentence}", hint)


def probe(backend: Backend, token: str | None = None) -> ProbeReport:
    """Test each rule under ``probe/<random>/``, then remove the objects created for it.

    Raises ``Denied``, ``Unavailable`` or ``NoSpace`` if the store can't be used at all.
    """
    scratch = _Scratch(backend, f"probe/{token or secrets.token_hex(8)}")
    try:
        # Each check has keys of its own, so none can see what another one does.
        with Threads(len(_CHECKS)) as pool:
            running = [pool.submit(_finding, rule, scratch, check) for rule, check in _CHECKS.items()]
        findings = [found.result() for found in running]
    finally:
        listed = scratch.clean()
    # A listing that failed says nothing about the order.
    ordered = bool(listed) and listed == sorted(listed)
    return ProbeReport(backend.url, (*findings, _order(backend, ordered), *_unknown(backend)), ordered)


@dataclass(frozen=True, slots=True)
class _Scratch:
    """The location and the prefix that a probe writes to.

    Each check uses keys of its own. Together they are names that a listing in ascending order puts differently from one
    by folders, by words or without case, so that the listing before the end shows the order.
    """

    backend: Backend
    base: str

    def key(self, name: str) -> str:
        return f"{self.base}/{name}"

    def listed(self, folder: str) -> list[Stat]:
        return list(self.backend.list(f"{self.base}/{folder}"))

    def clean(self) -> list[str]:
        """Remove all objects; return their keys as they were listed, none if that failed."""
        found: list[str] = []
        try:
            found = [stat.key for stat in self.listed("")]
            with Threads(_RACERS) as pool:
                list(pool.map(self.backend.delete, found))
            remove_folders(self.backend, self.base)
        except SheafError:
            # A few tiny objects stay. The caller must see why the probe failed, not that cleaning up failed, too.
            pass
        return found


def _finding(rule: str, scratch: _Scratch, check: Callable[[_Scratch], str]) -> ProbeFinding:
    try:
        return ProbeFinding(rule, True, check(scratch))
    except (_Broken, Corrupt, NotFound, Unsupported) as error:
        return ProbeFinding(rule, False, error.message)


class _Broken(SheafError):
    """A rule does not hold; the message says what was seen."""


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _Broken(otherwise)


# ── the rules ─────────────────────────────────────────────────────────────────


def _create_if_absent(scratch: _Scratch) -> str:
    key, backend = scratch.key("_"), scratch.backend
    backend.create(key, b"first")
    answer = backend.create(key, b"second")
    _expect(backend.get(key) == b"first", "a second create of a key replaced the object (If-None-Match is ignored)")
    _expect(answer is Created.OTHER, "a second create of a key was reported as successful")
    _expect(backend.create(key, b"first") is Created.MINE, "a repeated create was not recognised")
    return "an object that exists is never replaced"


def _one_winner(scratch: _Scratch) -> str:
    key, start = scratch.key("B"), threading.Barrier(_RACERS)
    bodies = [f"racer {n}".encode() for n in range(_RACERS)]

    def race(body: bytes) -> Created:
        start.wait(60)
        return scratch.backend.create(key, body)

    with Threads(_RACERS) as pool:
        answers = list(pool.map(race, bodies))
    winners = [body for body, answer in zip(bodies, answers, strict=True) if answer is not Created.OTHER]
    _expect(len(winners) == 1, f"{len(winners)} of {_RACERS} concurrent creates of one key succeeded")
    _expect(scratch.backend.get(key) == winners[0], "the object is not the one whose create succeeded")
    return f"one of {_RACERS} concurrent creates of one key succeeds"


def _read_after_write(scratch: _Scratch) -> str:
    key, data = scratch.key("a0"), b"xy"
    _expect(scratch.backend.stat(key) is None, "an object exists before it is created")
    scratch.backend.create(key, data)
    found = scratch.backend.stat(key)
    _expect(found is not None and found.size == len(data), "a new object is not found immediately, or has another size")
    _expect(scratch.backend.get(key) == data, "reading a new object returns other bytes")
    return "an object can be read as soon as it is created"


def _list_after_write(scratch: _Scratch) -> str:
    first, second = scratch.key("a/a"), scratch.key("a/b")
    scratch.backend.create(second, b"")
    _expect([(stat.key, stat.size) for stat in scratch.listed("a/")] == [(second, 0)], _NOT_LISTED)
    scratch.backend.create(first, b"")
    _expect(scratch.backend.newest(f"{scratch.base}/a/") == first, "the first key is not found")
    return "an object is listed as soon as it is created"


_NOT_LISTED = "a new object is missing from the next listing, or is listed with another size"


def _ranges(scratch: _Scratch) -> str:
    key, data = scratch.key("a-b"), bytes(range(256)) * 768
    scratch.backend.create(key, data)
    asked = [(150_000, 1_000), (0, 1), (196_607, 1), (77, 100_000)]
    found = [bytes(buffer) for buffer in scratch.backend.get_ranges(key, asked)]
    _expect(found == [data[at : at + length] for at, length in asked], "a byte range returns other bytes")
    return "byte ranges return exactly the requested bytes"


def _delete(scratch: _Scratch) -> str:
    key = scratch.key("a.b")
    scratch.backend.create(key, b"1")
    scratch.backend.delete(key)
    _expect(scratch.backend.stat(key) is None, "a deleted object still exists")
    _expect(not scratch.listed("a.b"), "a deleted object is still listed")
    scratch.backend.delete(key)
    _expect(scratch.backend.create(key, b"2") is Created.CREATED, "a deleted key can't be created again")
    return "a deleted object disappears immediately"


_CHECKS: dict[str, Callable[[_Scratch], str]] = {
    "create-if-absent": _create_if_absent,
    "one winner": _one_winner,
    "read after write": _read_after_write,
    "list after write": _list_after_write,
    "byte ranges": _ranges,
    "delete": _delete,
}


def _order(backend: Backend, ordered: bool) -> ProbeFinding:
    if ordered:
        return ProbeFinding("ordered listing", True, "keys are listed in ascending order")
    if backend.ordered:
        return ProbeFinding("ordered listing", False, "keys are not listed in ascending order")
    return ProbeFinding(
        "ordered listing", None, "keys are listed in no particular order, which costs a few more requests"
    )


def _unknown(backend: Backend) -> list[ProbeFinding]:
    findings = []
    if backend.settle_s:
        findings.append(
            ProbeFinding(
                "list after write elsewhere",
                None,
                f"other machines may see objects up to {backend.settle_s:.0f} s late",
            )
        )
    if not backend.url.startswith(("file:", "memory:")):
        what = (
            "can't be checked from here: disable lifecycle rules that expire objects; versioning keeps erased objects"
        )
        findings.append(ProbeFinding("bucket settings", None, what))
    return findings
