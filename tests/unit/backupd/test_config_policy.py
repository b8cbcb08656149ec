"""Backup types, retention and the policy of projects in the configuration file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backupd.config import BackupTypeConfig, Config, PolicyConfig, load
from backupd.errors import ConfigError
from backupd.retention import RetentionPolicy

TARGETS = """
[targets.local]
url = "file:///srv/backups"
[targets.remote]
url = "file:///mnt/remote"
[targets.third]
url = "file:///mnt/third"
[retention.short]
keep_last = 2
keep_daily = 7
"""


PAGE = Path(__file__).parents[3] / "docs" / "backup-types.md"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backupd.toml"


def read(file: Path, text: str) -> Config:
    file.write_text(TARGETS + text)
    return load(file)


def problems(file: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    return [line.removeprefix(f"{file}: ") for line in str(caught.value).splitlines()]


def test_a_type_needs_a_target_only(file: Path) -> None:
    config = read(file, '[backup_types.plain]\ntarget = "local"\n')
    assert config.backup_types == {"plain": BackupTypeConfig(target="local")}


def test_a_type_has_every_field_of_the_file(file: Path) -> None:
    text = """
    [backup_types.gold]
    target = "local"
    copies = ["remote", "third"]
    quorum = 2
    chunk_size_bytes = 65536
    compression_level = 0
    is_encrypted = false
    is_deduplicated = false
    bytes_per_s = 1000
    verify_bytes = 2000
    retention = "short"
    """
    expected = BackupTypeConfig(
        target="local",
        copies=("remote", "third"),
        quorum=2,
        chunk_size_bytes=65536,
        compression_level=0,
        is_encrypted=False,
        is_deduplicated=False,
        bytes_per_s=1000,
        verify_bytes=2000,
        retention="short",
    )
    assert read(file, text).backup_types == {"gold": expected}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('target = "s3"', "target = 's3': expected a target of the configuration: local, remote, third"),
        ("target = 1", "target = 1: expected a name"),
        ('copies = ["remote", "s3"]', "copies[1] = 's3': expected a target of the configuration: local, remote, third"),
        ('copies = ["local"]', "copies[0] = 'local': expected each target once"),
        ('copies = ["remote", "remote"]', "copies[1] = 'remote': expected each target once"),
        ('copies = "remote"', "copies = 'remote': expected a list of names"),
        ("quorum = 0", "quorum = 0: expected an integer from 1 to 1, the number of targets"),
        ("quorum = 2", "quorum = 2: expected an integer from 1 to 1, the number of targets"),
        ("quorum = true", "quorum = True: expected an integer"),
        ("chunk_size_bytes = 100000", "chunk_size_bytes = 100000: expected a power of two from 65536 (64 KiB)"),
        ("chunk_size_bytes = 8388608", "chunk_size_bytes = 8388608: expected a power of two from 65536 (64 KiB)"),
        ("compression_level = 20", "compression_level = 20: expected an integer from 0 to 19"),
        ("compression_level = -1", "compression_level = -1: expected an integer from 0 to 19"),
        ("is_encrypted = 1", "is_encrypted = 1: expected true or false"),
        ("bytes_per_s = -1", "bytes_per_s = -1: expected an integer from 0 to 1125899906842624"),
        ("verify_bytes = -1", "verify_bytes = -1: expected an integer from 0 to 1125899906842624"),
        ('retention = "long"', "retention = 'long': expected a retention of the configuration: short"),
        ("compression = 3", 'compression: unknown key; did you mean "compression_level"?'),
    ],
)
def test_a_bad_field_of_a_type_is_named(file: Path, line: str, problem: str) -> None:
    target = "" if line.startswith("target") else 'target = "local"\n'
    (found,) = problems(file, f"[backup_types.gold]\n{target}{line}\n")
    assert found.startswith(f"backup_types.gold.{problem}")


def test_all_problems_of_all_types_are_reported_at_once(file: Path) -> None:
    text = """
    [backup_types.gold]
    target = "s3"
    quorum = "all"
    chunk_size_bytes = 1
    [backup_types.silver]
    copies = ["tape"]
    [retention.long]
    keep_daily = -1
    [projects.default]
    default_backup_type = 3
    """
    assert problems(file, text) == [
        "retention.long.keep_daily = -1: expected an integer from 0 to 100000",
        "backup_types.gold.quorum = 'all': expected an integer",
        "backup_types.gold.target = 's3': expected a target of the configuration: local, remote, third",
        "backup_types.gold.chunk_size_bytes = 1: expected a power of two from 65536 (64 KiB) to 4194304 (4 MiB)",
        "backup_types.silver.target: missing; expected a name",
        "backup_types.silver.copies[0] = 'tape': expected a target of the configuration: local, remote, third",
        'projects.default.default_backup_type = 3: expected a name, or "" for none',
    ]


def test_a_section_that_is_wrong_is_known_to_who_names_it(file: Path) -> None:
    text = '[targets.bad]\n[backup_types.gold]\ntarget = "bad"\n'
    (found,) = problems(file, text)
    assert found.startswith("targets.bad.url: missing")


@pytest.mark.parametrize("section", ["backup_types", "retention", "projects"])
def test_a_name_that_fits_no_url_is_refused(file: Path, section: str) -> None:
    (found,) = problems(file, f'[{section}."a/b"]\n')
    assert found.startswith(f"{section}.'a/b': expected a name of up to 128 letters")


def test_a_retention_is_what_backups_are_judged_by(file: Path) -> None:
    assert read(file, "").retention["short"].policy == RetentionPolicy(keep_last=2, keep_daily=7)


def test_a_project_overrides_the_policy_key_by_key(file: Path) -> None:
    text = """
    [policy]
    default_backup_type = "gold"
    request_backup_types = ["gold", "silver"]
    [projects.one]
    default_backup_type = ""
    [projects.two]
    request_backup_types = []
    """
    config = read(file, text)
    assert config.policy_of("one") == PolicyConfig(request_backup_types=("gold", "silver"))
    assert config.policy_of("two") == PolicyConfig(default_backup_type="gold")
    assert config.policy_of("another") == config.policy


def test_without_a_policy_there_is_no_default_and_no_choice(file: Path) -> None:
    policy = read(file, "").policy_of("default")
    assert (policy.default_backup_type, policy.request_backup_types) == (None, ())


def test_the_examples_of_the_page_are_valid(file: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        file.write_text(example)
        assert load(file).backup_types
