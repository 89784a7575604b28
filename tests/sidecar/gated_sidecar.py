"""``sheaf sidecar fuse`` whose commands wait at gates, so that a test can do something at each step of them.

A command's gate has the name of its verb: ``before-bundle-upload``. It is reached when ``GATES/NAME.reached`` exists, and
open when ``GATES/NAME.open`` does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sheaf.cli import main
from sheaf.cli.app import App
from sheaf.cli.commands import sidecar

_GATES = """
pass() {
    touch "$GATES/$1.reached"
    while [ -e "$GATES/$1.closed" ]; do sleep 0.02; done
}
"""
_SCRIPT = """
name=$1-$2
case "$*" in *" --help"*) name=check ;; esac
pass "before-$name"
trap 'kill $child; exit 143' TERM
"$PYTHON" -P -c 'from sheaf.cli.datamon import main; main()' "$@" &
child=$!
wait $child
code=$?
trap - TERM
pass "after-$name"
exit $code
"""


def _program(app: App) -> list[str]:
    script = Path(app.environment.variables["GATES"], "gated.sh")
    script.write_text(_GATES + _SCRIPT)
    return ["sh", str(script)]


if __name__ == "__main__":
    os.environ["PYTHON"] = sys.executable
    sidecar._program = _program
    main.main()
