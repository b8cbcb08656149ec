"""A SnapshotMetadata service over TLS that follows the published protocol, for snapshots that a test gives it."""

from __future__ import annotations

import datetime as dt
import ipaddress
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backupd.clock import SystemClock
from tests.support.daemon import ROOT

BLOCK_BYTES = 4096
PROTO_DIRECTORY = ROOT / "examples" / "csi"
_MESSAGE_BLOCKS = 7  # So that a stream has many messages.


class SnapshotMetadata:
    """Answers for ``snapshots``, by namespace and name. What it is told to do wrong, it does as often as told."""

    def __init__(self, directory: Path, grpc: Any) -> None:
        self.snapshots: dict[tuple[str, str], bytes] = {}
        self.break_offs = 0  # How many streams end with UNAVAILABLE after their first message.
        self.is_down = False
        self.capacity_error_bytes = 0
        self.is_out_of_order = False
        self.starting_offsets: list[int] = []
        self.ca, self.token = directory / "ca.pem", directory / "token"
        self.token.write_text("service-account-token\n")
        self.address = ""
        self._grpc = grpc
        if str(PROTO_DIRECTORY) not in sys.path:
            sys.path.insert(0, str(PROTO_DIRECTORY))
        self._messages, self._services = grpc.protos_and_services("snapshot_metadata.proto")

    def serve(self) -> Any:
        """Start and return the server."""
        key, certificate = _certificate()
        self.ca.write_bytes(certificate)
        server = self._grpc.server(ThreadPoolExecutor(4, thread_name_prefix="snapshot-metadata"))
        self._services.add_SnapshotMetadataServicer_to_server(self, server)
        credentials = self._grpc.ssl_server_credentials([(key, certificate)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"
        server.start()
        return server

    def GetMetadataAllocated(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802 - gRPC's name
        content = self._content(request, request.snapshot_name, context)
        blocks = (start for start in _starts(content, request) if any(content[start : start + BLOCK_BYTES]))
        yield from self._stream(self._messages.GetMetadataAllocatedResponse, blocks, content, request, context)

    def GetMetadataDelta(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802 - gRPC's name
        base = self._content(request, request.base_snapshot_name, context)
        target = self._content(request, request.target_snapshot_name, context)
        blocks = (
            start
            for start in _starts(target, request)
            if base[start : start + BLOCK_BYTES] != target[start : start + BLOCK_BYTES]
        )
        yield from self._stream(self._messages.GetMetadataDeltaResponse, blocks, target, request, context)

    def _content(self, request: Any, name: str, context: Any) -> bytes:
        self.starting_offsets.append(request.starting_offset)
        if self.is_down:
            context.abort(self._grpc.StatusCode.UNAVAILABLE, "the sidecar is restarted")
        if request.security_token != self.token.read_text().strip():
            context.abort(self._grpc.StatusCode.UNAUTHENTICATED, "the token is not accepted")
        if (request.namespace, name) not in self.snapshots:
            context.abort(self._grpc.StatusCode.NOT_FOUND, f"there is no snapshot {name}")
        return self.snapshots[request.namespace, name]

    def _stream(self, kind: Any, starts: Iterator[int], content: bytes, request: Any, context: Any) -> Iterator[Any]:
        found = [*starts]
        if self.is_out_of_order:
            found.reverse()
        for first in range(0, len(found), _MESSAGE_BLOCKS):
            blocks = [
                self._messages.BlockMetadata(byte_offset=start, size_bytes=BLOCK_BYTES)
                for start in found[first : first + _MESSAGE_BLOCKS]
            ]
            yield kind(
                block_metadata_type=self._messages.FIXED_LENGTH,
                volume_capacity_bytes=len(content) + self.capacity_error_bytes,
                block_metadata=blocks,
            )
            if self.break_offs:
                self.break_offs -= 1
                context.abort(self._grpc.StatusCode.UNAVAILABLE, "the sidecar is restarted")


def _starts(content: bytes, request: Any) -> Iterator[int]:
    """Yield where blocks begin that end behind the offset that was asked for."""
    return iter(range(request.starting_offset // BLOCK_BYTES * BLOCK_BYTES, len(content), BLOCK_BYTES))


def _certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "snapshot-metadata")])
    now = SystemClock().now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)


@contextmanager
def serving(directory: Path, grpc: Any) -> Iterator[SnapshotMetadata]:
    """Serve for as long as the context lasts."""
    service = SnapshotMetadata(directory, grpc)
    server = service.serve()
    try:
        yield service
    finally:
        server.stop(None).wait()
