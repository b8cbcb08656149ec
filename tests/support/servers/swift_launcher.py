"""Runs a program of Swift with the swift.conf of a directory: swift_launcher.py DIRECTORY PROGRAM ARGUMENTS...

Storage policies and constraints are read when Swift is imported, before it looks at ``swift_dir``.
"""

from __future__ import annotations

import runpy
import sys
from importlib import import_module
from typing import Any


def main(directory: str, program: str, *arguments: str) -> None:
    # Not imported above: Swift has no types, and only this process needs it.
    settings: Any = import_module("swift.common.utils")
    settings.SWIFT_CONF_FILE = f"{directory}/swift.conf"
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
