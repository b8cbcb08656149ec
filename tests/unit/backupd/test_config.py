from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from backupd.config import (
    Address,
    AuditConfig,
    AuthConfig,
    BackupTypeConfig,
    BlockStorageConfig,
    Config,
    DaemonConfig,
    PathsConfig,
    PolicyConfig,
    QuotasConfig,
    RetentionConfig,
    TargetConfig,
    TargetDefaults,
    default_path,
    load,
)
from backupd.errors import ConfigError
from targets.gcs import GcsOptions
from targets.s3 import S3Options
from targets.swift import SwiftOptions

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"
TARGET = '[targets.local]\nurl = "file:///srv/backups"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backupd.toml"


def read(file: Path, text: str) -> Config:
    file.write_text(text)
    return load(file)


def problems(file: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    return [line.removeprefix(f"{file}: ") for line in str(caught.value).splitlines()]


def test_only_a_target_is_needed(file: Path) -> None:
    config = read(file, TARGET)
    assert config.daemon == DaemonConfig()
    assert config.paths == PathsConfig(sources=(), restores=())
    assert config.targets == {"local": TargetConfig(name="local", url="file:///srv/backups")}


def test_a_target_inherits_the_defaults_and_overrides_them(file: Path) -> None:
    text = f"[defaults]\nretries_max = 7\noperations_max = 3\n{TARGET}operations_max = 1\n"
    target = read(file, text).targets["local"]
    assert (target.retries_max, target.operations_max) == (7, 1)


@pytest.mark.parametrize(
    "options",
    [GcsOptions(), S3Options(), SwiftOptions(auth="v1", auth_url="http://host/auth", user="user", key_file="/key")],
)
def test_a_target_may_have_no_more_operations_than_it_has_connections(
    file: Path, options: GcsOptions | S3Options | SwiftOptions
) -> None:
    (problem,) = problems(file, f"{TARGET}operations_max = {options.connections_max + 1}\n")
    assert problem.startswith("targets.local.operations_max")


def test_the_tree_is_frozen(file: Path) -> None:
    config = read(file, TARGET)
    with pytest.raises(FrozenInstanceError):
        config.daemon.workers = 3  # type: ignore[misc]  # What the test is about.
    with pytest.raises(TypeError):
        config.targets["other"] = config.targets["local"]  # type: ignore[index]  # Likewise.


def test_every_problem_is_reported_at_once(file: Path) -> None:
    text = "[daemon]\nworkers = -1\nworker = 2\n[path]\n[targets.local]\nretries_max = 101\n"
    assert problems(file, text) == [
        'path: unknown key; did you mean "paths"?',
        'daemon.worker: unknown key; did you mean "workers"?',
        "daemon.workers = -1: expected an integer from 0 to 1024",
        "targets.local.retries_max = 101: expected an integer from 0 to 100",
        "targets.local.url: missing; expected a url such as file:///srv/backups, without any secret in it",
    ]


@pytest.mark.parametrize(
    ("section", "line", "problem"),
    [
        ("daemon", "workers = true", "daemon.workers = True: expected an integer from 0 to 1024"),
        ("daemon", 'workers = "2"', "daemon.workers = '2': expected an integer from 0 to 1024"),
        (
            "daemon",
            "shutdown_timeout_s = nan",
            "daemon.shutdown_timeout_s = nan: expected a number of seconds",
        ),
        ("daemon", 'state_dir = "var"', "daemon.state_dir = 'var': expected an absolute path without"),
        (
            "daemon",
            'state_dir = "/a/../b"',
            "daemon.state_dir = '/a/../b': expected an absolute path without",
        ),
        ("daemon", 'listen = "8776"', "daemon.listen = '8776': expected \"host:port\""),
        ("daemon", 'listen = "127.0.0.1:65536"', "daemon.listen = '127.0.0.1:65536': expected \"host:port\""),
        ("daemon", 'listen = "[::z]:1"', "daemon.listen = '[::z]:1': expected \"host:port\""),
        (
            "daemon",
            "memory_limit_bytes = 1",
            "daemon.memory_limit_bytes = 1: expected an integer from 33554432",
        ),
        ("paths", 'sources = "/dev"', "paths.sources = '/dev': expected a list of absolute paths"),
        (
            "paths",
            'restores = ["/a", "b"]',
            "paths.restores = ['/a', 'b']: expected a list of absolute paths",
        ),
        (
            "defaults",
            "operation_timeout_s = 0",
            "defaults.operation_timeout_s = 0: expected a number of seconds",
        ),
        ("defaults", 'url = "file:///a"', "defaults.url: unknown key; expected one of operation_timeout_s"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(file: Path, section: str, line: str, problem: str) -> None:
    (found,) = problems(file, f"[{section}]\n{line}\n{TARGET}")
    assert found.startswith(problem)


def test_memory_must_be_enough_for_each_running_job(file: Path) -> None:
    (found,) = problems(file, f"[daemon]\nrunning_jobs_max = 4\n{TARGET}")
    assert found.startswith("daemon.memory_limit_bytes = 83886080: expected at least 33554432 for each of 4 running")
    assert found.endswith("that is 134217728")


def test_a_file_without_a_target_is_refused(file: Path) -> None:
    assert problems(file, "") == ["targets: expected at least one section [targets.NAME] with a url"]


def test_a_value_in_the_place_of_a_section_is_refused(file: Path) -> None:
    assert problems(file, f"daemon = 3\n{TARGET}") == ["daemon: expected a section [daemon], not a value"]


def test_a_target_name_that_fits_no_url_is_refused(file: Path) -> None:
    (found,) = problems(file, '[targets."a/b"]\nurl = "file:///srv"\n')
    assert found.startswith("targets.'a/b': expected a name of up to 128 letters")


@pytest.mark.parametrize(
    "url",
    [
        "s3://user:hunter2@host/bucket",
        "s3://host/bucket?secret_key=hunter2",
        "s3://host/bucket?sessionToken=hunter2",
        "hunter2",
    ],
)
def test_a_secret_in_a_url_is_refused_and_never_repeated(file: Path, url: str) -> None:
    (found,) = problems(file, f'[targets.s3]\nurl = "{url}"\n')
    assert found.startswith("targets.s3.url = ")
    assert "hunter2" not in found


def test_the_value_of_an_unknown_key_is_never_repeated(file: Path) -> None:
    (found,) = problems(file, f'[daemon]\ntoken = "hunter2"\n{TARGET}')
    assert found == 'daemon.token: unknown key; did you mean "token_file"?'


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "backup.example.org", "[::]"])
def test_listening_to_the_network_without_tokens_is_refused(file: Path, host: str) -> None:
    (found,) = problems(file, f'[daemon]\nlisten = "{host}:8776"\n{TARGET}')
    assert found.startswith(f"daemon.listen = '{host}:8776': expected a loopback address")
    assert "daemon.token_file" in found


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:8776", Address("::1", 8776)),
        ("127.0.0.2:1", Address("127.0.0.2", 1)),
    ],
)
def test_loopback_needs_no_tokens(file: Path, listen: str, address: Address) -> None:
    assert read(file, f'[daemon]\nlisten = "{listen}"\n{TARGET}').daemon.listen == address
    assert str(address) == listen


def test_listening_to_the_network_with_tokens_is_fine(file: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    daemon = read(file, f'[daemon]\nlisten = "0.0.0.0:8776"\ntoken_file = "{tokens}"\n{TARGET}').daemon
    assert daemon.token_file == tokens


def test_a_token_file_that_others_can_read_is_refused(file: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.touch()
    tokens.chmod(0o640)
    first, hint = problems(file, f'[daemon]\ntoken_file = "{tokens}"\n{TARGET}')
    assert first.startswith(f"daemon.token_file = '{tokens}': has mode 0640; expected a file that only its owner")
    assert hint == f"HINT: chmod 0600 {tokens}"


def test_a_token_file_that_is_absent_or_a_directory_is_refused(file: Path, tmp_path: Path) -> None:
    (absent,) = problems(file, f'[daemon]\ntoken_file = "{tmp_path}/none"\n{TARGET}')
    assert absent == f"daemon.token_file = '{tmp_path}/none': cannot be read: no such file or directory"
    (directory,) = problems(file, f'[daemon]\ntoken_file = "{tmp_path}"\n{TARGET}')
    assert directory == f"daemon.token_file = '{tmp_path}': expected a regular file"


def test_a_syntax_error_names_the_line(file: Path) -> None:
    (found,) = problems(file, "[daemon]\nworkers = \n")
    assert found == "not valid TOML: Invalid value (at line 2, column 11)"


def test_a_key_that_is_there_twice_names_the_line(file: Path) -> None:
    (found,) = problems(file, "[daemon]\nworkers = 1\nworkers = 2\n")
    assert found.startswith("not valid TOML: Cannot overwrite a value (at line 3")


def test_bytes_that_are_no_text_are_refused(file: Path) -> None:
    file.write_bytes(b"[daemon]\n\xff")
    with pytest.raises(ConfigError, match="not UTF-8 text at byte 9"):
        load(file)


def test_a_missing_file_says_how_to_name_another(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: no such file or directory\nHINT: .*BACKUPD_CONFIG"):
        load(file)


def test_the_environment_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKUPD_CONFIG", "/srv/backupd.toml")
    assert default_path() == Path("/srv/backupd.toml")
    monkeypatch.delenv("BACKUPD_CONFIG")
    assert default_path() == Path("/etc/backupd/backupd.toml")


def test_the_complete_file_of_the_page_is_valid(file: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    config = read(file, example)
    assert config.targets["slow"].operations_max == 2


def test_the_page_has_every_key_and_no_other() -> None:
    documented = set()
    for section, body in re.findall(r"^## `\[(.+?)\]`\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE):
        documented |= {(section, key) for key in re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE)}
    sections = {
        "daemon": DaemonConfig,
        "paths": PathsConfig,
        "audit": AuditConfig,
        "defaults": TargetDefaults,
        "retention.NAME": RetentionConfig,
        "backup_types.NAME": BackupTypeConfig,
        "policy": PolicyConfig,
        "block_storage": BlockStorageConfig,
        "quotas": QuotasConfig,
        "auth": AuthConfig,
    }
    keys = {(name, field.name) for name, section in sections.items() for field in fields(section)}
    own = {field.name for field in fields(TargetConfig)} - {field.name for field in fields(TargetDefaults)}
    keys |= {("targets.NAME", name) for name in own - {"name"}}
    assert documented == keys
