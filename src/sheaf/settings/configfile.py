"""The configuration file: a YAML mapping, written atomically with mode 0600."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sheaf.errors import InvalidInput
from sheaf.private_files import make_private_folder

__all__ = ["load", "save"]


def load(path: Path) -> dict[str, Any]:
    """Read the mapping of a file; empty if the file does not exist. Raises InvalidInput with the file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text") from None
    # Most calls read no file, so loading the library here keeps start-up fast.
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput(f"{path}, line {line}: {error.problem}", "the file must be YAML") from None
    except yaml.YAMLError:
        raise InvalidInput(f"{path} is not YAML") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{path} must contain a mapping such as 'store: URL'")
    return {str(key): item for key, item in value.items()}


def save(path: Path, value: dict[str, Any]) -> None:
    """Replace the file in one step, readable by its owner only. A symbolic link is followed, not replaced."""
    import yaml

    target = path.resolve()
    make_private_folder(target.parent)
    import tempfile  # only for writing, which few commands do

    handle, temporary = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name}."
    )  # mkstemp creates it with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            yaml.safe_dump(value, stream, sort_keys=False, allow_unicode=True)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
