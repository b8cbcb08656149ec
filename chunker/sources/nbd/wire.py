"""The NBD protocol as bytes (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). Pure."""

from __future__ import annotations

from struct import Struct

GREETING = Struct(">8s8sH")
MAGIC = b"NBDMAGIC"
OPTION_MAGIC = b"IHAVEOPT"
FIXED_NEWSTYLE = 1
NO_ZEROES = 2

OPTION = Struct(">8sII")
OPT_LIST = 3
OPT_STARTTLS = 5
OPT_INFO = 6
OPT_GO = 7
OPT_STRUCTURED_REPLY = 8
OPT_SET_META_CONTEXT = 10

OPTION_REPLY = Struct(">QIII")
OPTION_REPLY_MAGIC = 0x3E889045565A9
REP_ACK = 1
REP_SERVER = 2
REP_INFO = 3
REP_META_CONTEXT = 4
REP_IS_ERROR = 1 << 31
REP_ERRORS = {
    REP_IS_ERROR | 1: "the server does not know the option",
    REP_IS_ERROR | 2: "the server's policy forbids it",
    REP_IS_ERROR | 3: "the server finds the option malformed",
    REP_IS_ERROR | 4: "the server's platform cannot do it",
    REP_IS_ERROR | 5: "the server demands TLS",
    REP_IS_ERROR | 6: "there is no such export",
    REP_IS_ERROR | 7: "the server is shutting down",
    REP_IS_ERROR | 8: "the server demands block sizes",
    REP_IS_ERROR | 9: "the server finds it too big",
}
OPTION_BYTES_MAX = 64 * 1024  # No reply that we ask for is larger; who sends more is no NBD server.
INFO_EXPORT = 0
INFO_BLOCK_SIZE = 3
EXPORT = Struct(">HQH")
BLOCK_SIZES = Struct(">HIII")
FLAG_SEND_DF = 1 << 7
FLAG_MULTI_CONN = 1 << 8

REQUEST = Struct(">IHHQQI")
REQUEST_MAGIC = 0x25609513
CMD_READ = 0
CMD_DISCONNECT = 2
CMD_BLOCK_STATUS = 7
CMD_FLAG_DF = 1 << 2

U32 = Struct(">I")
U64 = Struct(">Q")
SIMPLE_REST = Struct(">IQ")
SIMPLE_MAGIC = 0x67446698
CHUNK_REST = Struct(">HHQI")
CHUNK_MAGIC = 0x668E33EF
CHUNK_DONE = 1
CHUNK_NONE = 0
CHUNK_DATA = 1
CHUNK_HOLE = 2
CHUNK_STATUS = 5
CHUNK_IS_ERROR = 1 << 15
HOLE = Struct(">QI")
EXTENT = Struct(">II")
CHUNK_BYTES_MAX = 64 * 1024 * 1024

ALLOCATION = "base:allocation"
ALLOCATION_ZERO = 2
BITMAP_DIRTY = 1


def bitmap_context(name: str) -> str:
    """Return the meta context of QEMU's dirty bitmap of that name."""
    return f"qemu:dirty-bitmap:{name}"
