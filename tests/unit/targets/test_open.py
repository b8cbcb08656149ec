from __future__ import annotations

from pathlib import Path

import pytest

from targets.errors import Misconfigured
from targets.local import LocalTarget
from targets.memory import MemoryTarget
from targets.open import open_target, redact


def test_memory_url_opens_an_empty_store() -> None:
    assert isinstance(open_target("memory:"), MemoryTarget)


async def test_file_url_opens_a_directory(tmp_path: Path) -> None:
    target = open_target(f"file://{tmp_path}/back%20ups", create=True, fsync=False, threads=1)
    await target.put("key", b"content")
    await target.aclose()
    assert isinstance(target, LocalTarget)
    assert (tmp_path / "back ups" / "key").read_bytes() == b"content"


@pytest.mark.parametrize("url", ["gopher://host", "s4:bucket", "/srv/backups", ""])
def test_unknown_scheme_is_named_with_the_known_ones(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"scheme '(gopher|s4|)', expected one of file, .*memory"):
        open_target(url)


def test_unknown_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"option colour: unknown .* one of: create, fsync, threads"):
        open_target(f"file://{tmp_path}", colour="red")


@pytest.mark.parametrize(("name", "value"), [("threads", "4"), ("threads", True), ("fsync", 1), ("fsync", None)])
def test_option_of_the_wrong_type_is_named(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(Misconfigured, match=f"option {name}: a value of type {type(value).__name__}, expected"):
        open_target(f"file://{tmp_path}", **{name: value})


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_senseless_number_of_threads_is_refused(tmp_path: Path, threads: int) -> None:
    with pytest.raises(Misconfigured, match=f"option threads: {threads}, expected 1 to 256"):
        open_target(f"file://{tmp_path}", threads=threads)


@pytest.mark.parametrize(
    "url",
    [
        "file:relative",
        "file://host/srv",
        "file:",
        "file:///srv%00x",
        "file:///srv?create=true",
        "file:///srv#1",
        "memory://host",
        "memory:name",
        "file://[::1/srv",
    ],
)
def test_url_that_says_something_else_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="target url"):
        open_target(url)


@pytest.mark.parametrize(
    "url",
    [
        "file://user:hunter2@host/srv",
        "file://hunter2@host/srv",
        "memory://:hunter2@/",
        "memory:user:hunter2@host",
        "file:///srv?token=hunter2",
        "file:///srv#hunter2",
        "s4://user:hunter2@host/bucket",
        "file://user:hunter2@[::1/srv",
    ],
)
def test_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        open_target(url)
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__} {redact(url)}"


def test_redacted_url_still_tells_where() -> None:
    assert redact("s3://user:hunter2@host:9000/bucket/a?x=1") == "s3://***@host:9000/bucket/a?***"
    assert redact("file:///srv/backups") == "file:///srv/backups"


@pytest.mark.parametrize("url", ["file:relative", "memory:x", "file:///srv", "file://host/x"])
def test_url_without_a_secret_is_repeated_as_it_was_written(url: str) -> None:
    assert redact(url) == url


def test_relative_path_is_repeated_as_it_was_written() -> None:
    with pytest.raises(Misconfigured, match=r"^target url file:relative: expected file:// and"):
        open_target("file:relative")
