"""What a command may do to us: it cannot make us wait, swallow everything, or take nonsense for an answer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from chunker.errors import SourceUnreadable
from chunker.sources.external.command import Command


def command(code: str, *arguments: str, timeout_s: float = 20.0) -> Command:
    run = (sys.executable, "-I", "-S", "-c", f"import json, os, sys, signal\n{code}", *arguments)
    return Command(name="own", arguments=run, timeout_s=timeout_s, output_bytes_max=100_000)


def test_the_question_comes_on_its_standard_input_and_its_arguments_are_as_configured() -> None:
    echo = command("print(json.dumps({'asked': json.load(sys.stdin), 'arguments': sys.argv[1:]}))", "--pool", "a b; $x")
    answer = echo.ask("open", {"parameters": {"volume": "; rm -rf /"}})
    assert answer["asked"] == {"format": 1, "action": "open", "parameters": {"volume": "; rm -rf /"}}
    assert answer["arguments"] == ["--pool", "a b; $x"]


def test_one_that_does_not_read_the_question_may_answer() -> None:
    assert command("print('{}')").ask("changes", {"filler": "x" * 1_000_000}) == {}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("sys.exit('no such pool')", r"command own \(open\) ended with 1 and said: no such pool"),
        ("sys.stderr.write('x' * 10_000); sys.exit(3)", r"ended with 3 and said: x{2000}$"),
        ("sys.exit(2)", "ended with 2 and said: nothing"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended with -9 and said: nothing"),
        ("", "answered nothing, expected JSON"),
        ("print('extents: none')", r"answered 'extents: none\\n', expected JSON"),
        ("print('[]')", r"answered '\[\]\\n', expected a JSON object"),
        ("print('[' * 50_000)", r"answered '\[{100}'\.\.\., expected JSON"),
        ("sys.stdout.buffer.write(b'\\xff')", "answered '\ufffd', expected JSON"),
        ("print('x' * 1_000_000)", "answered more than 100000 bytes"),
        ("while True: print('x' * 100)", "answered more than 100000 bytes"),
    ],
)
def test_what_goes_wrong_is_named(code: str, message: str) -> None:
    with pytest.raises(SourceUnreadable, match=message):
        command(code).ask("open", {})


def test_one_that_cannot_be_started_is_named_without_its_arguments(tmp_path: Path) -> None:
    own = Command(name="own", arguments=(str(tmp_path / "no"), "geheim"), timeout_s=1.0, output_bytes_max=1024)
    with pytest.raises(SourceUnreadable, match=r"command own \(open\) cannot be started: no such file or directory"):
        own.ask("open", {})
    assert "geheim" not in repr(own)


@pytest.mark.parametrize(
    "code",
    [
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()",
        "os.close(1); os.close(2); signal.pause()",  # As if it had answered.
        "while True: sys.stderr.write('x' * 100)",
    ],
)
def test_one_that_takes_too_long_is_ended(code: str) -> None:
    with pytest.raises(SourceUnreadable, match=r"did not end within 0.2 s"):
        command(code, timeout_s=0.2).ask("open", {"filler": "x" * 1_000_000})


def test_what_it_started_ends_with_it() -> None:
    read, write = os.pipe()
    # Whoever lives has the other end of the pipe, by way of the files of this process.
    code = f"""
os.open('/proc/{os.getpid()}/fd/{write}', os.O_WRONLY)
if os.fork() == 0:
    os.close(0), os.close(1), os.close(2)
    signal.pause()
print('{{}}')
"""
    assert command(code).ask("open", {}) == {}
    os.close(write)
    assert os.read(read, 1) == b""  # Returns once nobody has it.
    os.close(read)
