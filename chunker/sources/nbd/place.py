"""Where an NBD export is, and how to get a connected socket to its server."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from dataclasses import dataclass

from chunker.sources.nbd.failures import ConnectionLost

DEFAULT_PORT = 10809


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An export of a server: at the Unix socket ``socket_path``, or else at ``host`` and ``port``."""

    export: str = ""
    socket_path: str | None = None
    host: str = ""
    port: int = DEFAULT_PORT
    is_tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"NBD export {self.export!r} at {self.socket_path or f'{host}:{self.port}'}"

    def dial(self, timeout_s: float) -> socket.socket:
        """Connect. ConnectionLost. The socket blocks, and each call on it at most about ``timeout_s``."""
        try:
            if self.socket_path is None:
                connected = socket.create_connection((self.host, self.port), timeout_s)
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            else:
                connected = _dial_unix(self.socket_path, timeout_s)
        except OSError as error:
            raise ConnectionLost(f"cannot be reached: {reason(error)}") from error
        # The kernel's own deadline: Python's would make the socket one that never blocks, which costs a poll()
        # before each read, and a large read one call for each piece that has arrived.
        connected.settimeout(None)
        deadline = struct.pack("@ll", int(timeout_s), int(timeout_s % 1 * 1e6))
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, deadline)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, deadline)
        return connected


def _dial_unix(path: str, timeout_s: float) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(timeout_s)
        connected.connect(path)
    except BaseException:
        connected.close()
        raise
    return connected


def reason(error: OSError) -> str:
    """Return what went wrong, for a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError | BlockingIOError | ssl.SSLWantReadError | ssl.SSLWantWriteError):
        return "no answer in time"
    return (error.strerror or os.strerror(error.errno) if error.errno else str(error) or "unknown error").lower()
