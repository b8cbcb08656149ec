"""The page of the Cinder API lists every endpoint that there is, and no other; what it says is missing is."""

from __future__ import annotations

import re
from pathlib import Path

from backupd.api.v3 import routing
from tests.support.v3 import serve_v3

_PAGE = (Path(__file__).parents[3] / "docs" / "cinder.md").read_text(encoding="utf-8")
_SECTION = _PAGE[_PAGE.index("## Endpoints") :]
_LISTED = re.compile(r"^(/\S+) +([A-Z]+(?: [A-Z]+)*)(?:  from 3\.(\d+))?$", re.MULTILINE)


def served() -> dict[tuple[str, int], set[str]]:
    """Return path and first microversion -> methods."""
    found: dict[tuple[str, int], set[str]] = {}
    for resource in routing.RESOURCES:
        for route in resource.routes.all:
            found.setdefault((route.path, route.since), set()).add(route.method)
    return found


def test_the_page_lists_the_endpoints_that_are_served() -> None:
    listed = {(path, int(since or 0)): set(methods.split()) for path, methods, since in _LISTED.findall(_SECTION)}
    assert listed == served()


async def test_what_the_page_says_is_not_served_is_404(tmp_path: Path) -> None:
    (missing,) = re.findall(r"^Not served \(404\)(.*?)\n\n", _SECTION + "\n\n", re.DOTALL | re.MULTILINE)
    paths = re.findall(r"`(/\S+)`", missing)
    assert len(paths) > 10
    async with serve_v3(tmp_path) as v3:
        for path in paths:
            for method in ("GET", "POST"):
                assert (await v3.ask(method, path)).status == 404, (method, path)
