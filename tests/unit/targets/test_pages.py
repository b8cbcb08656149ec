"""The pages of the targets: every configuration on them is one that can be opened, and every option stands there."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from targets.gcs import GcsOptions
from targets.local import LocalOptions
from targets.open import open_target
from targets.rados import RadosOptions
from targets.s3 import S3Options
from targets.swift import SwiftOptions
from tests.support.buckets import write_keys
from tests.support.servers.gcs_tokens import TokenEndpoint
from tests.support.swift_targets import secret_file

PAGES = Path(__file__).parents[3] / "docs" / "targets"
OPTIONS = {"gcs": GcsOptions, "local": LocalOptions, "rados": RadosOptions, "s3": S3Options, "swift": SwiftOptions}


def configurations(page: str) -> list[dict[str, Any]]:
    """Return the targets on a page; what is said once, as the url, holds for those below, too."""
    found: list[dict[str, Any]] = []
    for block in re.findall(r"^```toml\n(.*?)^```$", read(page), re.DOTALL | re.MULTILINE):
        (target,) = tomllib.loads(block)["targets"].values()
        first = found[0] if found else {}
        if "storage_url" in target["options"]:  # With the login of the first one.
            target["options"] = {**first["options"], **target["options"]}
        found.append({**first, **target})
    return found


def read(page: str) -> str:
    return (PAGES / f"{page}.md").read_text("utf-8")


def here(option: str, value: Any, directory: Path) -> Any:
    """Return the value of an option on this machine, which has the operator's files elsewhere."""
    if not option.endswith("_file"):
        return value
    if value.endswith(".json"):
        return str(TokenEndpoint().write_key_file(directory / "key.json"))
    if "s3" in value:
        return str(write_keys(directory, ("access", "secret")))
    return secret_file(directory, "secret")


@pytest.mark.parametrize(
    ("page", "target"), [(page, target) for page in ("gcs", "local", "s3", "swift") for target in configurations(page)]
)
async def test_every_configuration_of_a_page_can_be_opened(page: str, target: dict[str, Any], tmp_path: Path) -> None:
    # Nobody's certificates are on this machine.
    given = {name: here(name, value, tmp_path) for name, value in target["options"].items() if name != "ca_file"}
    url = target["url"].replace("/srv/backups", str(tmp_path))
    opened = open_target(url, **given)
    assert opened.capabilities.name == page
    await opened.aclose()


@pytest.mark.parametrize("page", OPTIONS)
def test_every_option_stands_on_the_page(page: str) -> None:
    (table,) = re.findall(r"^\| option \|.*\n((?:\|.*\n)+)", read(page), re.MULTILINE)
    named = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(field.name for field in fields(OPTIONS[page]))
