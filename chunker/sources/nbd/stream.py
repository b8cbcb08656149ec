"""Bytes of a connected socket, plain or TLS, exactly as many as asked for."""

from __future__ import annotations

import socket
import ssl

from chunker.sources.nbd.failures import ConnectionLost
from chunker.sources.nbd.place import reason


class Stream:
    """A socket whose every failure is ConnectionLost."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._flags: int = socket.MSG_WAITALL

    def start_tls(self, context: ssl.SSLContext, hostname: str | None) -> None:
        """Go on encrypted."""
        try:
            self._socket = context.wrap_socket(self._socket, server_hostname=hostname)
        except OSError as error:
            raise ConnectionLost(f"TLS cannot be begun: {reason(error)}") from error
        self._flags = 0  # The only one that it takes.

    def send(self, content: bytes) -> None:
        """Send all of it."""
        try:
            self._socket.sendall(content)
        except OSError as error:
            raise ConnectionLost(f"cannot be written to: {reason(error)}") from error

    def fill(self, buffer: memoryview) -> None:
        """Receive until the buffer is full."""
        filled, size = 0, buffer.nbytes
        try:
            while filled < size:
                count = self._socket.recv_into(buffer[filled:] if filled else buffer, size - filled, self._flags)
                if not count:
                    raise ConnectionLost("the server closed the connection")
                filled += count
        except OSError as error:
            raise ConnectionLost(f"cannot be read from: {reason(error)}") from error

    def take(self, count: int) -> bytes:
        """Receive so many bytes."""
        buffer = bytearray(count)
        self.fill(memoryview(buffer))
        return bytes(buffer)

    def close(self) -> None:
        """Close the socket; may be called twice."""
        self._socket.close()
