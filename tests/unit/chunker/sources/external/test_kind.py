from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from chunker.errors import InvalidAddress, SourceMisconfigured, SourceUnreadable
from chunker.sources.open import Sources

THIN = {"command": ["/bin/true", "--pool"], "paths": ["/dev"], "parameters": {"volume": "[a-z][a-z0-9-]*"}}


def sources(**options: Any) -> Sources:
    return Sources({"external": {"thin": THIN | options}})


def test_an_address_names_a_command_and_its_parameters() -> None:
    sources().check("external:thin?volume=web-1")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("external:other?volume=web-1", "expected external:thin"),
        ("external:/bin/sh", "expected external:thin"),
        ("external://host/thin?volume=web-1", "expected external:thin"),
        ("external:thin", "option volume: missing, expected "),
        ("external:thin?volume=", "option volume: '', expected "),
        ("external:thin?volume=--help", "option volume: '--help', expected "),
        ("external:thin?volume=web-1/..", "option volume: 'web-1/..', expected "),
        (f"external:thin?volume={'a' * 300}", "option volume: 'a{50}', expected "),
        ("external:thin?volume=web-1&pool=other", "option pool: unknown for external"),
    ],
)
def test_an_address_that_says_anything_else_is_refused(address: str, message: str) -> None:
    with pytest.raises(InvalidAddress, match=message):
        sources().check(address)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"command": []}, "thin: option command: expected the absolute path"),
        ({"command": "/bin/true"}, "thin: option command: a value of type str, expected a list"),
        ({"command": ["true"]}, "thin: option command: expected the absolute path"),
        ({"paths": []}, "thin: option paths: expected absolute paths, one at least"),
        ({"paths": ["dev"]}, "thin: option paths: expected absolute paths"),
        ({"timeout_s": 0}, "thin: option timeout_s: 0.0, expected 0.1 to 3600"),
        ({"output_bytes_max": 1}, "thin: option output_bytes_max: 1, expected 1024 to"),
        ({"parameters": "volume"}, "thin: option parameters: expected names"),
        ({"parameters": {"Volume": "x"}}, "thin: option parameters.Volume: expected a name"),
        ({"parameters": {"volume": 7}}, "thin: option parameters.volume: expected a name like lv_1 and a text"),
        ({"parameters": {"volume": "["}}, "thin: option parameters.volume: .*, expected a regular expression"),
        ({"shell": True}, "thin: option shell: unknown"),
    ],
)
def test_an_option_that_is_wrong_is_named_with_its_command(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceMisconfigured, match=f"external: {message}"):
        sources(**options)


@pytest.mark.parametrize("section", [{"command": ["/bin/true"]}, {"Thin": THIN}])
def test_a_section_without_a_name_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(SourceMisconfigured, match=r"expected sections \[sources.external.NAME\]"):
        Sources({"external": section})


def test_a_command_cannot_make_us_read_what_the_operator_does_not_allow(tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "link").symlink_to("/etc/hostname")
    answer = f'{{"path": "{tmp_path}/allowed/link", "identity": "a"}}'
    command = [sys.executable, "-I", "-S", "-c", f"print('{answer}')"]
    source = sources(command=command, paths=[str(tmp_path / "allowed")]).open("external:thin?volume=a")
    with pytest.raises(SourceUnreadable, match=r"answered path: '.*/link', expected one below .*/allowed"):
        source.open()
