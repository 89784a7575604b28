"""Runs one command and says what it cost. A program of its own, so that what it measures has no trace of the harness.

    python -I -S meter.py RESULT COMMAND [ARGUMENT…]

RESULT becomes one line: exit code, wall seconds, CPU seconds (user and system of the command and all it waited for),
peak resident bytes of the largest process.
"""

import os
import sys
import time


def main() -> None:
    result, command = sys.argv[1], sys.argv[2:]
    begin = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        try:
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - begin
    unit = 1 if sys.platform == "darwin" else 1024
    code = os.waitstatus_to_exitcode(status)
    with open(result, "w") as file:
        file.write(f"{code} {wall} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss * unit}\n")


if __name__ == "__main__":
    main()
