"""The packages that the pages for who writes a target or a source show, as if they were installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).parents[2] / "docs"
TARGET_PAGE = _DOCS / "writing-a-target.md"
SOURCE_PAGE = _DOCS / "writing-a-source.md"


def blocks(language: str, page: Path = TARGET_PAGE) -> list[str]:
    """Return the code on the page that is in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


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


def install_page(directory: Path, page: Path = TARGET_PAGE) -> None:
    """Install the package of the page."""
    project = tomllib.loads(blocks("toml", page)[0])["project"]
    install(directory, module=project["name"].replace("-", "_"), project=project, code=blocks("python", page)[0])
