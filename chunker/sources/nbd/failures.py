"""What may go wrong with a connection, told apart by whether another one may help."""

from __future__ import annotations


class ConnectionLost(Exception):
    """The connection is of no use any more; a new one may be."""


class Refused(Exception):
    """The server answered, and a new connection would hear the same."""
