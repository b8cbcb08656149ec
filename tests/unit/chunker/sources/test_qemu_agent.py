"""The guest agent, played by a thread that answers on a socket."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from chunker.sources.qemu.agent import quiesced


class Agent:
    """Answers every command but those in ``silent_at``; ``heard`` are the commands that came."""

    def __init__(self, path: Path, *, silent_at: tuple[str, ...] = ()) -> None:
        self.heard: list[str] = []
        self._silent_at = silent_at
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()

    def serve(self) -> None:
        """Serve one client until it leaves."""
        with self._listening, self._listening.accept()[0] as client, client.makefile("rwb") as lines:
            for line in lines:
                request = json.loads(line.lstrip(b"\xff"))
                self.heard.append(request["execute"])
                if request["execute"] in self._silent_at:
                    continue
                answer = {"return": request["arguments"].get("id", 1)}
                lines.write(b"\xff" + json.dumps(answer).encode() + b"\n")
                lines.flush()


@pytest.fixture
def path() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="qga-"))
    yield directory / "agent.sock"
    shutil.rmtree(directory)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def test_a_guest_is_held_and_let_go(path: Path, threads: ThreadPoolExecutor) -> None:
    agent = Agent(path)
    served: Future[None] = threads.submit(agent.serve)
    with quiesced(str(path), timeout_s=2) as quiet:
        assert quiet.problem is None
        assert agent.heard[-1] == "guest-fsfreeze-freeze"
    served.result()
    assert agent.heard == ["guest-sync-delimited", "guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]


def test_a_guest_is_let_go_when_what_comes_in_between_fails(path: Path, threads: ThreadPoolExecutor) -> None:
    agent = Agent(path)
    served: Future[None] = threads.submit(agent.serve)
    with pytest.raises(ValueError, match="freeze"), quiesced(str(path), timeout_s=2):
        raise ValueError("the freeze failed")
    served.result()
    assert agent.heard[-1] == "guest-fsfreeze-thaw"


def test_an_agent_that_answers_late_is_not_waited_for_and_its_guest_let_go(
    path: Path, threads: ThreadPoolExecutor
) -> None:
    agent = Agent(path, silent_at=("guest-fsfreeze-freeze",))
    served: Future[None] = threads.submit(agent.serve)
    with quiesced(str(path), timeout_s=0.1) as quiet:
        reason = f"{path} cannot be frozen: the guest agent does not answer in time"
        assert quiet.problem == f"the guest's file systems were not held: {reason}"
    served.result()
    assert agent.heard[-1] == "guest-fsfreeze-thaw"


def test_without_an_agent_the_snapshot_is_taken_all_the_same(path: Path) -> None:
    with quiesced(str(path), timeout_s=0.1) as quiet:
        assert quiet.problem is not None
    with quiesced(None, timeout_s=0.1) as quiet:
        assert quiet.problem is None


def test_p4_crash_of_the_daemon_lets_the_guest_go(path: Path, threads: ThreadPoolExecutor) -> None:
    agent = Agent(path)
    served: Future[None] = threads.submit(agent.serve)
    script = (
        "import os, signal, sys; from chunker.sources.qemu.agent import quiesced\n"
        "with quiesced(sys.argv[1], timeout_s=30) as quiet:\n"
        "    assert quiet.problem is None\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    served.result()
    assert agent.heard[-1] == "guest-fsfreeze-thaw"


def test_a_guest_that_is_held_too_long_is_let_go_and_that_is_told(path: Path, threads: ThreadPoolExecutor) -> None:
    agent = Agent(path)
    served: Future[None] = threads.submit(agent.serve)
    with quiesced(str(path), timeout_s=0.1) as quiet:
        before = quiet.problem
        served.result()
    assert before is None
    assert quiet.problem is not None
    assert "were not held long enough" in quiet.problem
