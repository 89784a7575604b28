from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Cli


def test_the_cache_is_shown_bounded_and_cleared(cli: Cli, tmp_path: Path) -> None:
    (data := tmp_path / "some").mkdir()
    (data / "file").write_text("content")
    repo = "cached"
    cli("repo", "create", "--repo", repo)
    cli("bundle", "upload", "--path", data, "--repo", repo, "--message", "m")
    before = json.loads(cli("--json", "cache", "info").out)
    assert before["parts"]["objects"]["files"] == 0
    assert json.loads(cli("--json", "cache", "limit", "3GiB").out) == {"limit_bytes": 3 << 30}
    assert json.loads(cli("--json", "cache", "info").out)["limit_bytes"] == 3 << 30
    assert cli("cache", "clear").out
    after = json.loads(cli("--json", "cache", "info").out)
    assert all(part["files"] == 0 for part in after["parts"].values())
    assert after["limit_bytes"] == 3 << 30
    assert cli("ls", f"{repo}@main").out


def test_a_size_that_is_none_is_refused(cli: Cli) -> None:
    assert "not a size" in cli("cache", "limit", "much", code=2).err
