"""The commands of a page, run as they stand there on a machine of their own: a directory that stands for its root."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.daemon import ROOT

_TIMEOUT_S = 120
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PATHS = re.compile(r"(?<![\w.-])/(etc/backupd|var/lib/backupd|srv|root)\b")
# What the reader has on his machine. Each is the process that it starts, so that it can be ended.
_SUDO = '#!/bin/sh\nexec "$@"\n'
_BACKUPD = '#!/bin/sh\nexec {python} -m backupd "$@"\n'
_BACKUPCTL = """#!/bin/sh
case " $* " in
    *" --from "*) exec {python} -m backupd.cli "$@" ;;
    *) exec {python} -m backupd.cli --url http://{address} "$@" ;;
esac
"""
_PRELUDE = """
set -euo pipefail
export PATH={bin}:$PATH BACKUPD_CONFIG={config}
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
"""
SERVE = "backupd serve &\nuntil backupctl backup list >/dev/null 2>&1; do sleep 0.1; done\n"


class Machine:
    """Where the paths of a page lead to places below ``root``."""

    def __init__(self, root: Path, page: Path) -> None:
        self.root = root
        self._page = page.read_text("utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._bin = root / "bin"
        self._bin.mkdir()
        for name, text in (("sudo", _SUDO), ("backupd", _BACKUPD), ("backupctl", _BACKUPCTL)):
            path = self._bin / name
            path.write_text(text.replace("{python}", sys.executable).replace("{address}", self.address))
            path.chmod(0o755)

    def path(self, name: str) -> Path:
        """Return where a path of the page is."""
        return self.root / name.lstrip("/")

    def configure(self) -> None:
        """Put the configuration on the page where the daemon looks for it."""
        (body,) = (body for language, _, body in _BLOCK.findall(self._page) if language == "toml")
        daemon = f'[daemon]\nstate_dir = "/var/lib/backupd"\nlisten = "{self.address}"\n'
        path = self.path("/etc/backupd/backupd.toml")
        path.parent.mkdir(parents=True)
        path.write_text(self._here(daemon + body))

    def section(self, name: str) -> str:
        """Return the commands of one section, one block after the other."""
        return "\n".join(body for _, section, body in _BLOCK.findall(self._page) if section == name)

    def sections(self) -> list[str]:
        """Return every section that has commands, in the order of the page."""
        return list(dict.fromkeys(section for language, section, _ in _BLOCK.findall(self._page) if language == "sh"))

    def run(self, commands: str, **variables: str) -> str:
        """Run commands in one shell and return what they print; a daemon that they leave running ends with it."""
        prelude = _PRELUDE.format(bin=self._bin, config=self.path("/etc/backupd/backupd.toml"))
        script = prelude + "".join(f"{key}={value}\n" for key, value in variables.items()) + self._here(commands)
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def _here(self, text: str) -> str:
        return _PATHS.sub(lambda found: f"{self.root}{found[0]}", text)
