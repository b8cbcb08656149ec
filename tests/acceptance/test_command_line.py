"""The same, by ``backupctl`` in a process of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.volumes import guest_like_bytes

CONTENT = guest_like_bytes(1024 * 1024 + 77)


@pytest.fixture
def disk(daemon: Daemon) -> Daemon:
    (daemon.place.sources / "disk").write_bytes(CONTENT)
    run(daemon, "type", "add", "standard", "--target", "local")
    run(daemon, "volume", "add", "disk", "--path", f"{daemon.place.sources}/disk", "--type", "standard")
    return daemon


def run(daemon: Daemon, *arguments: str) -> Any:
    code, answer = daemon.backupctl(*arguments)
    assert code == 0, answer
    return answer


def test_p1_exact_by_the_command_line(disk: Daemon) -> None:
    backup = run(disk, "backup", "create", "disk", "--full", "--wait")["backup"]
    assert backup["state"] == "available"
    run(disk, "restore", "create", backup["id"], "--to", f"{disk.place.restores}/disk", "--wait")
    assert (disk.place.restores / "disk").read_bytes() == CONTENT


def test_p1_exact_incremental_by_the_command_line(disk: Daemon) -> None:
    first = run(disk, "backup", "create", "disk", "--wait")["backup"]
    changed = b"changed" + CONTENT[7:]
    (disk.place.sources / "disk").write_bytes(changed)
    extents = disk.place.root / "extents.json"
    extents.write_text(json.dumps([{"offset_bytes": 0, "length_bytes": 7}]))
    told = ("--parent", first["id"], "--changed-extents", str(extents))
    answer = run(disk, "backup", "create", "disk", *told, "--wait")
    assert answer["backup"]["mode"] == "incremental"
    run(disk, "restore", "create", answer["backup"]["id"], "--to", f"{disk.place.restores}/disk", "--wait")
    assert (disk.place.restores / "disk").read_bytes() == changed


def test_verification_and_deletion_by_the_command_line(disk: Daemon) -> None:
    backup = run(disk, "backup", "create", "disk", "--wait")["backup"]
    assert run(disk, "verify", "create", backup["id"], "--wait")["job"]["state"] == "succeeded"
    run(disk, "backup", "delete", backup["id"], "--wait")
    assert run(disk, "backup", "list") == []


def test_a_failed_backup_is_exit_code_1_and_says_why(disk: Daemon) -> None:
    first = run(disk, "backup", "create", "disk", "--wait")["backup"]
    extents = disk.place.root / "extents.json"
    extents.write_text(json.dumps([{"offset_bytes": len(CONTENT), "length_bytes": 1}]))
    told = ("--parent", first["id"], "--changed-extents", str(extents))
    code, answer = disk.backupctl("backup", "create", "disk", *told, "--wait")
    assert code == 1
    assert answer["backup"]["state"] == "error"


def test_each_kind_of_failure_has_its_exit_code(disk: Daemon) -> None:
    disk.place.sources.joinpath("disk").unlink()
    for code, arguments in (
        (2, ("type", "add", "odd", "--target", "local", "--chunk-size-bytes", "1")),
        (4, ("backup", "show", "00000000-0000-0000-0000-000000000000")),
        (5, ("backup", "create", "disk")),
    ):
        assert disk.backupctl(*arguments)[0] == code
    disk.stop()
    assert disk.backupctl("volume", "list")[0] == 3
