"""Requests that a machine makes up of a description: no 500, no answer that is not described, no path, no secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import run
from tests.support.daemon import Daemon, Place, serving
from tests.support.v3_document import around_backups, backups

pytestmark = pytest.mark.timeout(170)

_MORE = """
[backup_types.standard]
target = "local"
[policy]
default_backup_type = "standard"
[block_storage]
volumes_dir = "{root}/volumes"
"""
_CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"


async def made_up(clients: Path, daemon: Daemon, description: str, *options: str, examples: int = 6) -> None:
    """Send the requests of one description; each must be answered as that says."""
    bounds = ("--max-examples", str(examples), "--seed", "1", "--phases", "examples,coverage,fuzzing", "--workers", "1")
    command = [str(clients / "schemathesis"), "run", description, "--url", daemon.url, "--checks", _CHECKS, *bounds]
    code, printed = await run([*command, "--no-color", *options], {}, timeout_s=160)
    assert code == 0, printed[-6000:]
    log = (daemon.place.root / "daemon.log").read_text()
    assert "nobody foresaw" not in log


async def test_v1_answers_whatever_its_own_document_allows(tmp_path: Path, clients: Path) -> None:
    async with serving(Place(tmp_path, more=_MORE)) as daemon:
        await made_up(clients, daemon, f"{daemon.url}/v1/openapi.json")


@pytest.mark.parametrize(("document", "examples"), [(backups, 6), (around_backups, 2)])
async def test_v3_answers_whatever_a_client_may_send_and_tells_no_path(
    tmp_path: Path, clients: Path, document: Callable[[], Any], examples: int
) -> None:
    path = tmp_path / "v3.json"
    path.write_text(json.dumps(document()))
    async with serving(Place(tmp_path, more=_MORE)) as daemon:
        report = tmp_path / "report"
        version = ("--header", "OpenStack-API-Version: volume 3.71")
        saved = ("--report", "har", "--report-dir", str(report))
        await made_up(clients, daemon, str(path), *version, *saved, examples=examples)
        answers = [
            entry["response"] for file in report.glob("*") for entry in json.loads(file.read_text())["log"]["entries"]
        ]
        assert len(answers) > 50
        told = json.dumps([(one["content"], one["headers"]) for one in answers])
        assert str(tmp_path) not in told
        assert "Traceback" not in told
