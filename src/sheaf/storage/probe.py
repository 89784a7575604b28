"""Test a location before a store is created in it: some S3 look-alikes break rules silently."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sheaf.errors import Corrupt, NotFound, Refused, SheafError, Unsupported
from sheaf.fork import Threads
from sheaf.storage.emptiness import remove_folders
from sheaf.storage.port import Backend, Created

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
        findings = [_finding(rule, scratch, check) for rule, check in _CHECKS.items()]
        ordered = scratch.is_ordered()
        findings.append(_order(backend, ordered))
    finally:
        scratch.clean()
    return ProbeReport(backend.url, (*findings, *_unknown(backend)), ordered)


@dataclass(frozen=True, slots=True)
class _Scratch:
    """The location and the prefix that a probe writes to. Each check uses keys of its own."""

    backend: Backend
    base: str

    def key(self, name: str) -> str:
        return f"{self.base}/{name}"

    def listed(self, folder: str) -> list[str]:
        return [stat.key for stat in self.backend.list(f"{self.base}/{folder}/")]

    def is_ordered(self) -> bool:
        names = ["b", "a-b", "a/b", "a0", "B", "a/a", "_", "a.b"]
        for name in names:
            self.backend.create(self.key(f"order/{name}"), b"")
        return self.listed("order") == sorted(self.key(f"order/{name}") for name in names)

    def clean(self) -> None:
        try:
            for key in [stat.key for stat in self.backend.list(f"{self.base}/")]:
                self.backend.delete(key)
            remove_folders(self.backend, self.base)
        except SheafError:
            # A few tiny objects stay. The caller must see why the probe failed, not that cleaning up failed, too.
            pass


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
    key, backend = scratch.key("create/once"), scratch.backend
    backend.create(key, b"first")
    answer = backend.create(key, b"second")
    _expect(backend.get(key) == b"first", "a second create of a key replaced the object (If-None-Match is ignored)")
    _expect(answer is Created.OTHER, "a second create of a key was reported as successful")
    _expect(backend.create(key, b"first") is Created.MINE, "a repeated create was not recognised")
    return "an object that exists is never replaced"


def _one_winner(scratch: _Scratch) -> str:
    key, start = scratch.key("create/race"), threading.Barrier(_RACERS)
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
    for n in range(3):
        key, data = scratch.key(f"read/{n}"), b"x" * n
        _expect(scratch.backend.stat(key) is None, "an object exists before it is created")
        scratch.backend.create(key, data)
        found = scratch.backend.stat(key)
        _expect(found is not None and found.size == n, "a new object is not found immediately, or has another size")
        _expect(scratch.backend.get(key) == data, "reading a new object returns other bytes")
    return "an object can be read as soon as it is created"


def _list_after_write(scratch: _Scratch) -> str:
    for n in range(3):
        key = scratch.key(f"list/{n}")
        scratch.backend.create(key, b"")
        _expect(key in scratch.listed("list"), "a new object is missing from the next listing")
    _expect(scratch.backend.newest(f"{scratch.base}/list/") == scratch.key("list/0"), "the first key is not found")
    return "an object is listed as soon as it is created"


def _ranges(scratch: _Scratch) -> str:
    key, data = scratch.key("ranges"), bytes(range(256)) * 1024
    scratch.backend.create(key, data)
    asked = [(200_000, 1_000), (0, 1), (262_143, 1), (77, 100_000)]
    found = [bytes(buffer) for buffer in scratch.backend.get_ranges(key, asked)]
    _expect(found == [data[at : at + length] for at, length in asked], "a byte range returns other bytes")
    return "byte ranges return exactly the requested bytes"


def _delete(scratch: _Scratch) -> str:
    key = scratch.key("delete/me")
    scratch.backend.create(key, b"1")
    scratch.backend.delete(key)
    _expect(scratch.backend.stat(key) is None, "a deleted object still exists")
    _expect(not scratch.listed("delete"), "a deleted object is still listed")
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
