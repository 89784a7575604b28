"""Paths inside a bundle: ``/``-separated, relative, byte-exact UTF-8, and their order.

Rows are ordered by (folder, name), folders compared component by component, bytewise. Joining the components with NUL,
which no name may contain, makes this the plain order of bytes.
"""

from __future__ import annotations

import re

from sheaf.errors import InvalidInput

__all__ = [
    "MAX_NAME",
    "MAX_PATH",
    "MAX_TARGET",
    "ancestors",
    "check_path",
    "check_target",
    "common_folder",
    "is_below",
    "join",
    "key_range",
    "order_key",
    "path_of",
    "relative",
    "split",
]

MAX_NAME = 255  #: bytes of one component
MAX_PATH = 4096  #: bytes of a whole path
MAX_TARGET = 4095  #: bytes of a symlink's target: the longest on Linux; Python truncates longer ones when it reads them
_BYTES = re.compile("[\udc80-\udcff]")  #: surrogates that Python's decoding puts in place of bytes that are not UTF-8


def check_path(path: str) -> str:
    """Return the path if a bundle may contain it. Raises InvalidInput with the reason."""
    try:
        raw = path.encode("utf-8")
    except UnicodeEncodeError:
        hint = "rename the file, or skip such files with --skip-on-error"
        raise InvalidInput(f"path '{_shown(path)}' is not UTF-8", hint) from None
    if len(raw) > MAX_PATH:
        raise InvalidInput(f"path {path[:60]!r}… has {len(raw)} bytes; at most {MAX_PATH} are allowed")
    if b"\0" in raw:
        raise InvalidInput(f"path {path!r} contains a NUL byte")
    for name in raw.split(b"/"):
        if name in (b"", b".", b".."):
            raise InvalidInput(
                f"path {path!r} is not a plain relative path", "remove a leading '/' and any '.', '..' or '//'"
            )
        if len(name) > MAX_NAME:
            raise InvalidInput(f"path {path[:60]!r}… has a name of {len(name)} bytes; at most {MAX_NAME} are allowed")
    return path


def check_target(target: str, path: str) -> str:
    """Return the target if the symlink at ``path`` may have it. Raises InvalidInput with the reason."""
    try:
        raw = target.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput(f"the target of symlink {path} is not UTF-8", "recreate the link") from None
    if not 0 < len(raw) <= MAX_TARGET or b"\0" in raw:
        what = f"has more than {MAX_TARGET} bytes" if len(raw) > MAX_TARGET else "is empty or contains a NUL byte"
        raise InvalidInput(f"the target of symlink {path} {what}", "shorten the link or skip it")
    return target


def _shown(path: str) -> str:
    """The path with bytes that aren't UTF-8 as ``\\xNN``, as shells show them."""
    return _BYTES.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", path).encode(errors="backslashreplace").decode()


def split(path: str) -> tuple[str, str]:
    """Split a path into (folder, name); the folder of a top-level name is the empty string."""
    folder, _, name = path.rpartition("/")
    return folder, name


def join(folder: str, name: str) -> str:
    """Join a folder and a name; either may be empty."""
    return f"{folder}/{name}" if folder and name else folder or name


def order_key(folder: str, name: str) -> bytes:
    """A key that sorts as rows do: by folder, component by component, then by name."""
    return folder.replace("/", "\0").encode() + b"\0\0" + name.encode()


def key_range(folder: str) -> tuple[bytes, bytes]:
    """The keys of all rows below a folder: from the first one on, and before the second one."""
    base = folder.replace("/", "\0").encode()
    return (base + b"\0", base + b"\1") if folder else (b"", b"\xff")


def is_below(folder: str, top: str) -> bool:
    """True if a folder is ``top`` itself or below it."""
    return not top or folder == top or folder.startswith(top + "/")


def path_of(key: bytes) -> str:
    """The path of a key from :func:`order_key`."""
    folder, _, name = key.partition(b"\0\0")
    return join(folder.replace(b"\0", b"/").decode(), name.decode())


def ancestors(path: str) -> list[str]:
    """The folders above a path, outermost first, without the root: ``a/b/c`` → ``[a, a/b]``."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def common_folder(first: str, last: str) -> str:
    """The longest folder that two folders share: ``a/b/c``, ``a/b2`` → ``a``."""
    common = []
    for left, right in zip(first.split("/"), last.split("/"), strict=False):
        if left != right:
            break
        common.append(left)
    return "/".join(common)


def relative(folder: str, prefix: str) -> str:
    """The path of a folder relative to ``prefix``, which must be equal to it or above it."""
    return folder[len(prefix) :].lstrip("/") if prefix else folder
