"""The operator's sections ``[sources.external.NAME]``: commands, and what an address may say to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from chunker.errors import InvalidAddress, SourceMisconfigured
from chunker.sources.address import Address
from chunker.sources.base import Source
from chunker.sources.external.command import Command
from chunker.sources.external.source import ExternalSource
from chunker.sources.options import read_options

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_PARAMETER = re.compile(r"[a-z][a-z0-9_]{0,31}")
_VALUE_MAX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """One command, without its parameters."""

    command: tuple[str, ...]
    paths: tuple[str, ...]
    timeout_s: float = 60.0
    output_bytes_max: int = 16 * 1024**2

    def __post_init__(self) -> None:
        if not self.command or not self.command[0].startswith("/") or any("\0" in word for word in self.command):
            raise SourceMisconfigured("option command: expected the absolute path of a program, and its arguments")
        if not self.paths or not all(path.startswith("/") for path in self.paths):
            raise SourceMisconfigured("option paths: expected absolute paths, one at least")
        if not 0.1 <= self.timeout_s <= 3600:
            raise SourceMisconfigured(f"option timeout_s: {self.timeout_s}, expected 0.1 to 3600")
        if not 1024 <= self.output_bytes_max <= 2**30:
            raise SourceMisconfigured(f"option output_bytes_max: {self.output_bytes_max}, expected 1024 to {2**30}")


@dataclass(frozen=True, slots=True)
class _Declared:
    """A command with the parameters that addresses may, and must, give it."""

    command: Command
    paths: tuple[Path, ...]
    parameters: Mapping[str, re.Pattern[str]] = field(default_factory=lambda: MappingProxyType({}))


class ExternalKind:
    """The operator's commands. What an address says reaches them as JSON on their standard input, nowhere else."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """SourceMisconfigured names the command and the option that is wrong."""
        self._declared = {}
        for name, options in given.items():
            if not _NAME.fullmatch(name) or not isinstance(options, Mapping):
                raise SourceMisconfigured(f"{name[:50]}: expected sections [sources.external.NAME], NAME like thin-1")
            try:
                self._declared[name] = _declared(name, options)
            except SourceMisconfigured as error:
                raise SourceMisconfigured(f"{name}: {error}") from error

    def check(self, address: Address) -> None:
        if address.host or address.port is not None or address.path not in self._declared:
            expected = " or ".join(f"external:{name}" for name in self._declared) or "no command at all"
            raise InvalidAddress(f"expected {expected}")
        parameters = self._declared[address.path].parameters
        address.only_options(*parameters)
        for name, pattern in parameters.items():
            value = address.options.get(name)
            if value is None or len(value) > _VALUE_MAX or not pattern.fullmatch(value):
                raise InvalidAddress(
                    f"option {name}: {'missing' if value is None else repr(value[:50])}, expected {pattern.pattern}"
                )

    def open(self, address: Address, *, allow_live: bool, direct_io: bool) -> Source:
        """Return the volume. The command makes what is read hold still, so ``allow_live`` makes no difference."""
        declared = self._declared[address.path]
        return ExternalSource(declared.command, dict(address.options), paths=declared.paths, direct_io=direct_io)


def _declared(name: str, options: Mapping[str, Any]) -> _Declared:
    rest = dict(options)
    parameters = rest.pop("parameters", {})
    read = read_options(f"external.{name}", CommandOptions, rest)
    command = Command(
        name=name, arguments=read.command, timeout_s=read.timeout_s, output_bytes_max=read.output_bytes_max
    )
    return _Declared(command, tuple(map(Path, read.paths)), _patterns(parameters))


def _patterns(parameters: Any) -> Mapping[str, re.Pattern[str]]:
    if not isinstance(parameters, Mapping):
        raise SourceMisconfigured("option parameters: expected names, and a regular expression for each")
    patterns = {}
    for name, pattern in parameters.items():
        if not _PARAMETER.fullmatch(name) or not isinstance(pattern, str):
            raise SourceMisconfigured(f"option parameters.{name[:50]}: expected a name like lv_1 and a text")
        try:
            patterns[name] = re.compile(pattern, re.ASCII)
        except re.error as error:
            raise SourceMisconfigured(f"option parameters.{name}: {error}, expected a regular expression") from error
    return MappingProxyType(patterns)
