"""deploy/datamon.sh against a folder of wheels, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "datamon.sh"


def _wheel(folder: Path, version: str) -> Path:
    """A wheel whose ``datamon`` prints its version and arguments and exits with the last of them."""
    folder.mkdir(exist_ok=True)
    path = folder / f"sheaf_data-{version}-py3-none-any.whl"
    info = f"sheaf_data-{version}.dist-info"
    code = f"import sys\ndef main():\n    print('{version}', *sys.argv[1:])\n    sys.exit(int(sys.argv[-1]))\n"
    files = {
        "sheaf_stub.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: sheaf-data\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ndatamon = sheaf_stub:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    _wheel(tmp_path / "wheels", "1.0")
    return tmp_path / "wheels"


def _run(tmp_path: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels"), "PIP_CONFIG_FILE": os.devnull}
    surroundings = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DATAMON_PYTHON": sys.executable, **offline}
    command = ["sh", str(SCRIPT), *args]
    return subprocess.run(command, capture_output=True, text=True, env={**surroundings, **variables}, check=False)


def test_arguments_and_exit_code_pass_through_and_a_version_is_installed_once(tmp_path: Path, wheels: Path) -> None:
    first = _run(tmp_path, "bundle", "two words", "3", DATAMON_VERSION="1.0")
    assert (first.returncode, first.stdout) == (3, "1.0 bundle two words 3\n")
    assert "installing sheaf-data==1.0" in first.stderr
    again = _run(tmp_path, "0", DATAMON_VERSION="1.0")
    assert (again.returncode, again.stdout, again.stderr) == (0, "1.0 0\n", "")
    releases = tmp_path / ".cache/sheaf/releases"
    assert (releases / "1.0").is_symlink()


def test_the_newest_version_is_looked_up_once_a_day(tmp_path: Path, wheels: Path) -> None:
    assert _run(tmp_path, "0").stdout == "1.0 0\n"
    _wheel(wheels, "1.1")
    assert _run(tmp_path, "0").stdout == "1.0 0\n"
    latest = tmp_path / ".cache/sheaf/releases/latest"
    os.utime(latest, (0, 0))
    assert _run(tmp_path, "0").stdout == "1.1 0\n"
    assert latest.read_text() == "1.1\n"
    for wheel in wheels.iterdir():
        wheel.unlink()
    os.utime(latest, (0, 0))
    offline = _run(tmp_path, "0")
    assert (offline.returncode, offline.stdout) == (0, "1.1 0\n")
    assert "can't look for a newer version" in offline.stderr


def test_a_local_wheel_runs_instead(tmp_path: Path, wheels: Path) -> None:
    other = _wheel(tmp_path / "built", "9.9")
    assert _run(tmp_path, "0", SHEAF_WHEEL=str(other)).stdout == "9.9 0\n"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DATAMON_VERSION": "7.7"}, "can't install sheaf-data==7.7"),
        ({"DATAMON_VERSION": "../x"}, "is not a version"),
        ({"SHEAF_WHEEL": "/no/such.whl"}, "is no file"),
        ({"DATAMON_PYTHON": "/no/python", "DATAMON_VERSION": "1.0"}, "is not Python 3.11"),
    ],
)
def test_what_goes_wrong_is_one_line_and_leaves_nothing(
    tmp_path: Path, wheels: Path, variables: dict[str, str], message: str
) -> None:
    result = _run(tmp_path, "0", **variables)
    assert result.returncode == 1
    assert message in result.stderr
    releases = tmp_path / ".cache/sheaf/releases"
    assert not releases.exists() or list(releases.iterdir()) == []
