#!/usr/bin/env python3
"""External tracking of Kubernetes volumes: what changed is told by the CSI SnapshotMetadata service, over gRPC.

usage: snapshot_metadata.py --address HOST:PORT --ca FILE --token FILE --points DIRECTORY, and a question of
docs/sources/external.md on standard input. It needs grpcio and grpcio-tools.

It makes no snapshots. Whoever does writes DIRECTORY/NAMESPACE.VOLUME.json, see the page beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

_RETRIES = 5  # Of a stream that brings nothing.
_PROTO = "snapshot_metadata.proto"


class Refused(Exception):
    """What cannot be done; becomes the answer ``error``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.answer = {"error": {"kind": kind, "message": message}}


class Attached(NamedTuple):
    """The snapshot that is attached as a device now, and the uids of all that exist."""

    volume_handle: str
    snapshot: str
    device: str
    snapshots: dict[str, str]

    @property
    def token(self) -> str:
        """What finds the snapshot again: its name may be given twice, its uid is not."""
        return f"{self.snapshot}:{self.snapshots[self.snapshot]}"


class Service:
    """The SnapshotMetadata service."""

    def __init__(self, address: str, *, ca: Path, token: Path, timeout_s: float) -> None:
        import grpc  # noqa: PLC0415 - takes its time, and most questions need none of it

        self._grpc = grpc
        # The messages are made from the file beside this one.
        sys.path.insert(0, str(Path(__file__).parent))
        self._messages, services = grpc.protos_and_services(_PROTO)
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca.read_bytes()))
        self._stub = services.SnapshotMetadataStub(channel)
        self._token = token.read_text("ascii").strip()
        self._timeout_s = timeout_s

    def delta(self, namespace: str, base: str, target: str, size_bytes: int) -> list[list[int]] | None:
        """Return what differs between two snapshots; None when the service does not know one of them any more."""

        def ask(offset: int) -> Any:
            request = self._messages.GetMetadataDeltaRequest(
                security_token=self._token,
                namespace=namespace,
                base_snapshot_name=base,
                target_snapshot_name=target,
                starting_offset=offset,
            )
            return self._stub.GetMetadataDelta(request, timeout=self._timeout_s)

        try:
            return [*self._ranges(ask, size_bytes)]
        except self._grpc.RpcError as error:
            if error.code() == self._grpc.StatusCode.NOT_FOUND:
                return None
            raise

    def allocated(self, namespace: str, snapshot: str, size_bytes: int) -> list[list[int]]:
        """Return what of a snapshot was ever written."""

        def ask(offset: int) -> Any:
            request = self._messages.GetMetadataAllocatedRequest(
                security_token=self._token, namespace=namespace, snapshot_name=snapshot, starting_offset=offset
            )
            return self._stub.GetMetadataAllocated(request, timeout=self._timeout_s)

        return [*self._ranges(ask, size_bytes)]

    def _ranges(self, ask: Callable[[int], Any], size_bytes: int) -> Iterator[list[int]]:
        """Yield the ranges of a stream; one that breaks off is asked for again from where it did."""
        position, retries = 0, 0
        while True:
            try:
                for start, end in self._checked(ask(position), position, size_bytes):
                    yield [start, end - start]
                    position, retries = end, 0
                return
            except self._grpc.RpcError as error:
                retries += 1
                if error.code() != self._grpc.StatusCode.UNAVAILABLE or retries > _RETRIES:
                    raise

    def _checked(self, stream: Any, position: int, size_bytes: int) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of a stream. Refused when it breaks the rules that its order is relied upon for."""
        for message in stream:
            if message.volume_capacity_bytes != size_bytes:
                told = message.volume_capacity_bytes
                raise Refused("unreadable", f"volume_capacity_bytes: {told}, expected the device's {size_bytes}")
            for block in message.block_metadata:
                start, end = block.byte_offset, block.byte_offset + block.size_bytes
                # Only the first one may begin before what was asked for.
                start = max(start, position) if position and start < position < end else start
                if start < position or end <= start:
                    shown = f"[{block.byte_offset}, {block.size_bytes}]"
                    raise Refused("unreadable", f"block_metadata: {shown}, expected to begin at {position} or later")
                yield min(start, size_bytes), min(end, size_bytes)
                position = end


def attached(points: Path, parameters: dict[str, str]) -> Attached:
    """Return what is attached of a volume."""
    path = points / f"{parameters['namespace']}.{parameters['volume']}.json"
    try:
        return Attached(**json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise Refused("missing", f"no snapshot of {parameters['volume']} is attached: there is no {path}") from None
    except (ValueError, TypeError) as error:
        raise Refused("unreadable", f"{path}: {error}") from error


def answer(asked: dict[str, Any], points: Path, service: Callable[[], Service]) -> dict[str, Any]:
    """Return the answer to a question."""
    if asked["format"] != 1:
        raise Refused("unreadable", f"format {asked['format']} is not known")
    if asked["action"] in ("rollback", "close"):
        return {}  # Whoever made the snapshot keeps it until a later one is committed.
    now = attached(points, asked["parameters"])
    if asked["action"] == "open":
        return {"path": now.device, "identity": now.volume_handle, "token": now.token, "tells_data": True}
    if asked["action"] == "commit":
        done = points / f"{asked['parameters']['namespace']}.{asked['parameters']['volume']}.committed"
        done.write_text(asked["token"], "utf-8")
        return {}
    if (now.volume_handle, now.token) != (asked["identity"], asked["token"]):
        raise Refused("changed", f"{now.token} of {now.volume_handle} is attached, it was {asked['token']}")
    namespace = asked["parameters"]["namespace"]
    if asked["action"] == "data":
        return {"extents": service().allocated(namespace, now.snapshot, _size_bytes(now.device))}
    return changes(asked["parent"]["token"], now, namespace, service) if asked["action"] == "changes" else {}


def changes(parent: str, now: Attached, namespace: str, service: Callable[[], Service]) -> dict[str, Any]:
    """Return the answer to ``changes``."""
    base, _, uid = parent.rpartition(":")
    if not uid or now.snapshots.get(base) != uid:
        return {"extents": None, "reason": f"the snapshot of the parent, {parent}, is gone"}
    extents = service().delta(namespace, base, now.snapshot, _size_bytes(now.device))
    if extents is None:
        return {"extents": None, "reason": f"the service does not know {base} or {now.snapshot}"}
    return {"extents": extents}


def _size_bytes(device: str) -> int:
    descriptor = os.open(device, os.O_RDONLY)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def main() -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--token", type=Path, required=True)
    parser.add_argument("--points", type=Path, required=True)
    parser.add_argument("--timeout-s", type=float, default=50.0)
    given = parser.parse_args()

    def service() -> Service:
        return Service(given.address, ca=given.ca, token=given.token, timeout_s=given.timeout_s)

    try:
        said = answer(json.load(sys.stdin), given.points, service)
    except Refused as refused:
        said = refused.answer
    except Exception as error:
        # An error of gRPC says which code and why; the token is in none of them.
        code = getattr(error, "code", None)
        if code is None:
            raise
        said = Refused("unreadable", f"the service answers {code().name}: {error.details()}").answer  # type: ignore[attr-defined] # of gRPC
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
