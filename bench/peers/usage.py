"""Runs one command and writes to a file what it took: wall seconds, processor seconds, KiB of its largest process.

A program of its own that imports next to nothing: Linux counts the memory of whoever starts a process as the
process's own.
"""

from __future__ import annotations

import os
import sys
import time

report, *command = sys.argv[1:]
started_s = time.perf_counter()
process = os.fork()
if process == 0:
    os.execvp(command[0], command)
_, status, usage = os.wait4(process, 0)
taken = (time.perf_counter() - started_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
with open(report, "w") as file:  # noqa: PTH123 - pathlib is half of what would be imported
    file.write(" ".join(map(str, taken)))
sys.exit(status != 0)
