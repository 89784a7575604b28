"""What is fuzzed: every decoder, and whether a value that it accepts is one that can be written again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3
from tests.format.samples import Sample, samples

from sheaf.errors import Corrupt, Unsupported
from sheaf.format.envelope import SEALED_KINDS, sealed
from sheaf.format.record_v1 import decode_ops, decode_record
from sheaf.model.records import RepoOp, RepoState, StoreOp, StoreState

__all__ = ["Target", "targets"]

_SEAL = 32
_TAIL = len(b',"blake3":"') + 64 + len(b'"}\n')


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder. ``seed``: bytes that it takes, without the hash that they may end with; :meth:`run` adds that."""

    name: str
    seed: bytes
    run: Callable[[bytes], None]


def targets() -> dict[str, Target]:
    """All of them by name."""
    found = {name: _target(name, sample) for name, sample in samples().items()}
    found["state"] = Target("state", _unsealed(samples()["record"].data)[0], _read_record)
    return found


def _target(name: str, sample: Sample) -> Target:
    seed, close = _unsealed(sample.data)

    def run(data: bytes) -> None:
        for each in (data, close(data)):
            try:
                sample.decode(each)
            except (Corrupt, Unsupported) as error:
                if not error.message or "\n" in error.message:
                    raise AssertionError(f"not one line: {error.message!r}") from error

    return Target(name, seed, run)


def _unsealed(data: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """An object without its own hash, and what puts the right one at the end of others."""
    if data.startswith(b'{"sheaf"'):
        return data[:-_TAIL], lambda body: body + b',"blake3":"' + blake3(body).hexdigest().encode() + b'"}\n'
    if data[:3] == b"SHF" and data[3:4].decode() in SEALED_KINDS:
        return data[:-_SEAL], sealed
    return data, lambda body: body


def _read_record(data: bytes) -> None:
    """A record with its state and operations, as a log reads them."""
    whole = data + b',"blake3":"' + blake3(data).hexdigest().encode() + b'"}\n'
    try:
        record = decode_record(whole, "record")
        for state, op in ((RepoState, RepoOp), (StoreState, StoreOp)):
            decode_ops(record.state, state, "state")
            decode_ops(record.ops, tuple[op, ...], "record")  # type: ignore[valid-type]
    except (Corrupt, Unsupported):
        return
