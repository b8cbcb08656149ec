from __future__ import annotations

import asyncio
import io
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backupd.api import Tokens
from backupd.api.identity import OPERATOR
from backupd.cli.main import build_parser, run
from backupd.model import Failure, JobState
from tests.support.served import HEALTH, Served, serve

TOKEN = "a-token-for-the-tests"


class Terminal(io.StringIO):
    """A stream that claims to be a terminal, and tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


class Shell:
    """Runs ``backupctl`` against a served world; ``out`` and ``err`` are what the last command printed."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.world = served.world
        self.out = self.err = ""

    async def __call__(self, *arguments: str, terminal: bool = False, stdin: str = "") -> int:
        stdout, stderr = (Terminal(), Terminal()) if terminal else (io.StringIO(), io.StringIO())
        parsed = build_parser().parse_args(["--url", self.served.url, *arguments])
        code = await run(parsed, stdout=stdout, stderr=stderr, stdin=io.StringIO(stdin), poll_interval_s=0.001)
        self.out, self.err = stdout.getvalue(), stderr.getvalue()
        return code

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    async with serve(tmp_path) as served:
        yield Shell(served)


@pytest.fixture
async def with_volume(shell: Shell) -> Shell:
    await shell.world.add_volume()
    return shell


async def test_without_a_terminal_the_output_is_json(shell: Shell) -> None:
    assert await shell("health") == 0
    assert shell.document == HEALTH


@pytest.mark.parametrize("arguments", [("--json", "health"), ("health", "--json")])
async def test_json_can_be_asked_for_on_a_terminal(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert await shell(*arguments, terminal=True) == 0
    assert shell.document == HEALTH


async def test_types_and_volumes_are_added_listed_and_removed(shell: Shell) -> None:
    (shell.world.sources / "disk.img").touch()
    path = str(shell.world.sources / "disk.img")
    options = ("--chunk-size-bytes", "65536", "--compression-level", "1", "--no-encryption")
    assert await shell("type", "add", "fast", "--target", "local", *options) == 0
    assert (shell.document["chunk_size_bytes"], shell.document["is_encrypted"]) == (65536, False)
    assert await shell("volume", "add", "disk", "--path", path, "--type", "fast", "--allow-live") == 0
    assert await shell("volume", "list", terminal=True) == 0
    assert shell.out.splitlines()[0].split() == [
        *("NAME", "SOURCE", "BACKUP", "TYPE", "BACKUP", "TYPE", "FROM", "ALLOW", "LIVE", "ID")
    ]
    assert shell.out.splitlines()[1].split()[:5] == ["disk", f"file://{path}", "fast", "volume", "yes"]
    assert await shell("volume", "remove", "disk", terminal=True) == 0
    assert shell.out == "volume disk is registered no longer\n"
    assert await shell("type", "remove", "fast") == 0
    assert await shell("type", "list") == 0
    assert shell.document == []


async def test_a_type_has_every_field_and_shows_its_targets(shell: Shell) -> None:
    command = ("type", "add", "both", "--target", "local", "--copy", "other", "--quorum", "2", "--retention", "short")
    assert await shell(*command, "--bytes-per-s", "1000", "--verify-bytes", "2000", "--compression-level", "0") == 0
    added = shell.document
    assert (added["copies"], added["quorum"], added["retention"]) == (["other"], 2, "short")
    assert (added["bytes_per_s"], added["verify_bytes"], added["compression_level"]) == (1000, 2000, 0)
    assert await shell("type", "list", terminal=True) == 0
    assert "both  local, other  2 " in shell.out
    assert await shell("type", "show", "both", terminal=True) == 0
    assert "targets.2.name                   other\n" in shell.out


async def test_a_volume_is_given_another_type_and_the_default(with_volume: Shell) -> None:
    assert await with_volume("type", "add", "fast", "--target", "local") == 0
    assert await with_volume("volume", "set-type", "disk", "fast") == 0
    assert with_volume.document["backup_type"] == "fast"
    assert await with_volume("volume", "set-type", "disk", "--default") == 0
    assert with_volume.document["backup_type_id"] is None
    assert await with_volume("backup", "create", "disk") == 5
    assert "HINT: backupctl volume set-type disk TYPE" in with_volume.err


async def test_a_volume_needs_no_type_of_its_own(shell: Shell) -> None:
    path = shell.world.sources / "disk.img"
    path.touch()
    assert await shell("volume", "add", "disk", "--path", str(path)) == 0
    assert shell.document["backup_type"] is None


async def test_a_backup_names_its_type(with_volume: Shell) -> None:
    assert await with_volume("backup", "create", "disk", "--type", "standard") == 0
    assert await with_volume("backup", "create", "disk", "--type", "gold") == 4


async def test_retention_is_a_table(with_volume: Shell) -> None:
    backup = await with_volume.world.add_backup()
    assert await with_volume("volume", "retention", "disk", terminal=True) == 0
    assert with_volume.out.splitlines()[0].split() == ["NAME", "CREATED", "AT", "IS", "KEPT", "REASONS", "ID"]
    assert with_volume.out.splitlines()[1].split()[2:] == ["yes", "the", "policy", "has", "no", "rule", backup.id]
    assert await with_volume("volume", "retention", "disk") == 0
    assert with_volume.document["backups"][0]["is_kept"]


async def test_targets_are_listed_and_shown(shell: Shell) -> None:
    assert await shell("target", "list", terminal=True) == 0
    assert shell.out.splitlines()[1].split() == ["local", "file:///srv/backups"]
    assert await shell("target", "show", "local") == 0
    assert shell.document["name"] == "local"


async def test_a_backup_is_started(with_volume: Shell) -> None:
    assert await with_volume("backup", "create", "disk", "--full", "--name", "monday") == 0
    assert with_volume.document["backup"]["name"] == "monday"
    assert with_volume.document["job"]["state"] == "queued"


async def test_changed_extents_come_from_standard_input(with_volume: Shell) -> None:
    parent = (await with_volume.world.add_backup()).id
    extents = '[[0, 512], {"start": 4096, "length": 4096, "dirty": true}]'
    command = ("backup", "create", "disk", "--parent", parent, "--changed-extents", "-")
    assert await with_volume(*command, stdin=extents) == 0
    job = await with_volume.world.claim_job()
    assert job.request == {"changed_extents": [[0, 512], [4096, 4096]]}


async def test_a_long_list_of_extents_is_sent(with_volume: Shell) -> None:
    parent = (await with_volume.world.add_backup()).id
    extents = [[8192 * index, 4096] for index in range(40_000)]
    text = json.dumps(extents)
    command = ("backup", "create", "disk", "--parent", parent, "--changed-extents", "-")
    assert await with_volume(*command, stdin=text) == 0
    job = await with_volume.world.claim_job()
    assert job.request == {"changed_extents": extents}


async def test_backups_are_listed_with_the_names_of_their_volumes(with_volume: Shell) -> None:
    backup = await with_volume.world.add_backup()
    assert await with_volume("backup", "list", "--volume", "disk", terminal=True) == 0
    row = with_volume.out.splitlines()[1].split()
    assert row[:2] == ["disk", backup.name]
    assert row[-1] == backup.id


async def test_waiting_ends_with_the_finished_backup(with_volume: Shell) -> None:
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(with_volume("backup", "create", "disk", "--wait"))
        await finish_when_there(with_volume, JobState.SUCCEEDED)
    assert waiting.result() == 0
    assert with_volume.document["backup"]["state"] == "available"
    assert with_volume.document["job"]["state"] == "succeeded"
    assert with_volume.err == ""


async def test_waiting_for_a_job_that_fails_is_a_failure(with_volume: Shell) -> None:
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(with_volume("backup", "create", "disk", "--wait", terminal=True))
        await finish_when_there(with_volume, JobState.FAILED)
    assert waiting.result() == 1
    assert with_volume.err.endswith("failed: the size has changed (source.changed)\n")
    assert "backup  waiting for a worker" in with_volume.err


async def test_waiting_for_a_job_that_is_cancelled_is_a_failure(with_volume: Shell) -> None:
    assert await with_volume("backup", "create", "disk") == 0
    job_id = with_volume.document["job"]["id"]
    assert await with_volume("job", "cancel", job_id) == 0
    assert await with_volume("job", "wait", job_id) == 1
    assert with_volume.err.startswith(f"backupctl: the backup job {job_id} was cancelled")


async def test_a_restore_a_verification_and_a_deletion_are_started(with_volume: Shell) -> None:
    backup = await with_volume.world.add_backup()
    path = str(with_volume.world.restores / "new.img")
    assert await with_volume("restore", "create", backup.id, "--to", path) == 0
    assert with_volume.document["job"]["destination"] == {"path": path, "overwrite": False}
    assert await with_volume("job", "cancel", with_volume.document["job"]["id"]) == 0
    assert await with_volume("verify", "create", backup.id) == 0
    assert await with_volume("job", "cancel", with_volume.document["job"]["id"]) == 0
    assert await with_volume("backup", "delete", backup.id) == 0
    assert with_volume.document["job"]["kind"] == "delete"
    assert await with_volume("job", "list", "--kind", "verify") == 0
    assert [job["state"] for job in with_volume.document] == ["cancelled"]


async def test_a_job_is_shown_with_its_attempts(with_volume: Shell) -> None:
    await with_volume.world.add_backup()
    await with_volume("job", "list")
    (job,) = with_volume.document
    assert await with_volume("job", "show", job["id"], terminal=True) == 0
    assert "attempts.1.state" in with_volume.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("volume", "show", "none"), 4, "none"),
        (("backup", "show", "a/../b"), 4, "a/../b"),
        (
            ("type", "add", "a b", "--target", "local"),
            2,
            'backupctl: name = "a b": expected 1 to 128 letters',
        ),
        (("type", "add", "standard", "--target", "local"), 5, "standard"),
        (("backup", "create", "disk", "--incremental"), 5, "no available backup"),
        (("job", "list", "--state", "x"), 2, 'backupctl: state = "x": expected one of queued, running'),
        (
            ("health", "--token-file", "/none"),
            2,
            "backupctl: --token-file /none: cannot be read: no such file",
        ),
    ],
)
async def test_a_problem_has_its_exit_code_and_message(
    with_volume: Shell, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert await with_volume(*arguments) == code
    assert message in with_volume.err
    assert with_volume.out == ""


async def test_no_daemon_is_told_apart(shell: Shell) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert await shell("--url", url, "health") == 3
    assert shell.err == f"backupctl: no daemon answers at {url}: connection refused\n"


@pytest.mark.parametrize("url", ["127.0.0.1", "ftp://127.0.0.1", "http://", "http://127.0.0.1:x"])
async def test_a_bad_url_is_refused(shell: Shell, url: str) -> None:
    assert await shell("--url", url, "health") == 2
    assert shell.err == f"backupctl: --url {url}: expected a url such as http://127.0.0.1:8776\n"


@pytest.mark.parametrize("line", [TOKEN, f"  {TOKEN} alice:blue admin"])
async def test_the_token_of_the_file_is_sent(tmp_path: Path, line: str) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(f"# operator\n{line}\n")
    async with serve(tmp_path, Tokens({TOKEN: OPERATOR})) as served:
        shell = Shell(served)
        assert await shell("volume", "list") == 6
        assert shell.err == 'backupctl: expected the header "Authorization: Bearer TOKEN"\n'
        assert await shell("volume", "list", "--token-file", str(token_file)) == 0


@pytest.mark.parametrize(
    "arguments",
    [["volume"], ["nothing"], ["backup", "create", "a", "--full", "--incremental"], ["volume", "set-type", "a"]],
)
def test_a_bad_command_line_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(arguments)
    assert caught.value.code == 2
    assert "usage: backupctl" in capsys.readouterr().err


async def test_an_interrupt_leaves_the_job_alone_and_says_so(with_volume: Shell) -> None:
    await with_volume("backup", "create", "disk")
    job_id = with_volume.document["job"]["id"]
    stderr = Terminal()
    parsed = build_parser().parse_args(["--url", with_volume.served.url, "job", "wait", job_id])
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(run(parsed, stdout=io.StringIO(), stderr=stderr, stdin=io.StringIO()))
        await stderr.written.wait()
        waiting.cancel()
    assert stderr.getvalue().endswith(f"\nthe job goes on; to wait for it again: backupctl job wait {job_id}\n")
    await with_volume("job", "show", job_id)
    assert with_volume.document["state"] == "queued"


async def test_ctrl_c_ends_the_process_with_130(with_volume: Shell) -> None:
    await with_volume("backup", "create", "disk")
    job_id = with_volume.document["job"]["id"]
    command = ("-m", "backupd.cli", "--url", with_volume.served.url, "job", "wait", job_id)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stderr=asyncio.subprocess.PIPE,
        # Whoever started the tests in the background had SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        await with_volume.served.asked_for(f"/v1/jobs/{job_id}")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            _, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 130
    assert b"the job goes on" in stderr


INTERRUPTED_IMPORT = """
import runpy, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "aiohttp":
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupting())
sys.argv = ["backupctl", "health"]
runpy.run_module("backupd.cli", run_name="__main__")
"""


async def test_ctrl_c_while_it_still_starts_ends_the_process_with_130() -> None:
    command = (sys.executable, "-c", INTERRUPTED_IMPORT)
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, stderr = await process.communicate()
    assert (process.returncode, stderr) == (130, b"")


async def finish_when_there(shell: Shell, state: JobState) -> None:
    """Do, as a worker, the job that the command is about to start, once the command waits for it."""
    await shell.served.asked_for("/v1/jobs/")
    if state is JobState.SUCCEEDED:
        await shell.world.finish_job()
        return
    job = await shell.world.claim_job()
    failure = Failure("source.changed", "the size has changed")
    await shell.world.end_job(job, state, failure)
