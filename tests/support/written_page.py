"""The target that ``docs/writing-a-target.md`` shows, as an installed package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-target.md"


def blocks(language: str) -> list[str]:
    """Return the code on the page that is in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def install(directory: Path, *, module: str, project: dict[str, Any], code: str) -> None:
    """Make ``directory``, once it is on ``sys.path``, hold what pip would have installed from that project."""
    (directory / f"{module}.py").write_text(code)
    information = directory / f"{module}-{project['version']}.dist-info"
    information.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (information / "METADATA").write_text(metadata)
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {point}" for name, point in points.items())])
        for group, points in project["entry-points"].items()
    ]
    (information / "entry_points.txt").write_text("\n".join(groups))


def install_page(directory: Path) -> None:
    """Install the package of the page."""
    project = tomllib.loads(blocks("toml")[0])["project"]
    install(directory, module="backupd_sqlite", project=project, code=blocks("python")[0])
