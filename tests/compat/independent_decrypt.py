"""Makes a plain copy of an encrypted store by docs/format/v1.md with cryptography and blake3 only.

python -m tests.compat.independent_decrypt STORE SECRET DIR    SECRET: 64 hex digits, or a passphrase
"""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from tests.compat.independent_format import demand, number, unseal

READABLE = re.compile(r"sheaf\.json|(repos/[^/]+/)?(log|pages)/.*|(sessions|replica|behind|keys)/.*")
HIDDEN = re.compile(r"((?:index|erased)/.*?)([0-9a-f]{64})")


def store_key(root: Path, store: str, secret: str) -> bytes:
    """The store's key, from the slot that the secret opens."""
    for path in sorted((root / "keys").iterdir()):
        slot = unseal(path.read_bytes(), "key")
        is_key = re.fullmatch("[0-9a-f]{64}", secret) is not None
        if slot["kind"] != ("key" if is_key else "passphrase"):
            continue
        salt = bytes.fromhex(slot["salt"])
        if is_key:
            raw = bytes.fromhex(secret)
        else:
            work = slot["scrypt"]
            scrypt = Scrypt(salt=salt, length=32, n=work["n"], r=work["r"], p=work["p"])
            raw = scrypt.derive(unicodedata.normalize("NFC", secret).encode())
        said = b"sheaf slot 1\n" + "".join(f"{text}\n" for text in (store, slot["id"], slot["kind"])).encode() + salt
        try:
            return AESGCM(blake3(said, key=raw).digest()).decrypt(bytes(12), bytes.fromhex(slot["wrapped"]), None)
        except InvalidTag:
            continue
    raise LookupError("no slot is opened by this secret")


def padded(length: int) -> int:
    """What a length is rounded up to."""
    n = max(length, 256)
    e = n.bit_length() - 1
    step = 1 << min(e - len(f"{e:b}"), 18)
    return -(-n // step) * step


def decrypt(data: bytes, key: bytes, store: str, name: str) -> bytes:
    """The plain object."""
    demand(data[:8] == b"SHFE\x01\0\0\0", f"{name}: head")
    aead = AESGCM(blake3(f"sheaf object 1\n{store}\n{name}\n".encode() + data[:40], key=key).digest())
    length = number(aead.decrypt(b"\xff" * 12, data[40:64], None))
    plain, rest, n = b"", data[64:], 0
    while rest:
        plain += aead.decrypt(n.to_bytes(12, "little"), rest[: 65536 + 16], None)
        rest, n = rest[65536 + 16 :], n + 1
    demand(len(plain) == padded(length) and not any(plain[length:]), f"{name}: length")
    return plain[:length]


def main(root: Path, secret: str, target: Path) -> None:
    """The whole store."""
    config = unseal((root / "sheaf.json").read_bytes(), "store")
    demand(config["encryption"] == "aes-256-gcm", "encryption")
    key = store_key(root, config["id"], secret)
    names = blake3(b"sheaf names 1\n" + config["id"].encode() + b"\n", key=key).digest()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name, data = path.relative_to(root).as_posix(), path.read_bytes()
        if not READABLE.fullmatch(name):
            data = decrypt(data, key, config["id"], name)
        if match := HIDDEN.fullmatch(name):
            blocks = Cipher(algorithms.AES(names), modes.ECB()).decryptor()
            name = match[1] + blocks.update(bytes.fromhex(match[2])).hex()
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    demand("sheaf" not in sys.modules or sys.modules["sheaf"] is None, "this reader must not use Sheaf")
