"""The limit: the same bytes through the bare primitives in as many threads, and no service around them.

Run as a process of its own, so that CPU seconds and peak memory are its own:
``python -m bench.limit full|restore|verify ...`` prints one JSON object.

``full`` reads, tells zeros, hashes (keyed BLAKE3), compresses (zstd), encrypts (AES-256-GCM) and writes packs,
each with an fsync. ``restore`` reads them back, decrypts, decompresses, hashes and writes a sparse file with
O_DIRECT. It keeps no index but a list, no tree, no catalog, and survives no crash; duplicates it finds when asked to.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

T = TypeVar("T")
SPAN = 2 * 1024 * 1024
RESTORE_SPAN = 8 * 1024 * 1024
PACK = 8 * 1024 * 1024
TAG = 16
LEVEL = 3
KEY = bytes(range(32))
WRITERS = 2
Frame = tuple[int, int, int, int, bool, bytes, bytes]
"""chunk number, pack number, offset, length, is compressed, nonce, digest"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How it is done. ``is_deduplicated``: chunks that this run or the parent has are not stored again."""

    threads: int
    chunk: int = 256 * 1024
    is_encrypted: bool = True
    is_deduplicated: bool = False

    @property
    def tag(self) -> int:
        """What encryption adds to a frame."""
        return TAG if self.is_encrypted else 0


class Packs:
    """Packs of the limit: frames of whichever thread comes first, written in the background."""

    def __init__(self, directory: Path, first_number: int) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(WRITERS + 1):
            self._free.put(memoryview(mmap.mmap(-1, PACK)))
        self._buffer = self._free.get()
        self._number, self._end = first_number, 0
        self._writers = ThreadPoolExecutor(WRITERS)
        self._writes: list[Future[None]] = []

    def append(self, frame: memoryview) -> tuple[int, int]:
        with self._lock:
            if self._end + len(frame) > PACK:
                self._flush()
            offset = self._end
            self._buffer[offset : offset + len(frame)] = frame
            self._end += len(frame)
            return self._number, offset

    def close(self) -> None:
        self._flush()
        for write in self._writes:
            write.result()
        self._writers.shutdown()

    def _flush(self) -> None:
        self._writes.append(self._writers.submit(self._write, self._number, self._buffer, self._end))
        self._buffer = self._free.get()
        self._number, self._end = self._number + 1, 0

    def _write(self, number: int, buffer: memoryview, end: int) -> None:
        descriptor = os.open(self._directory / f"{number}.pack", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(descriptor, buffer[:end])
        os.fsync(descriptor)
        os.close(descriptor)
        self._free.put(buffer)


def full(source: Path, directory: Path, extents: list[tuple[int, int]], way: Way, *, is_onto_parent: bool) -> None:
    """Write the frames of ``extents`` and remember where they are, and where those of the parent are besides."""
    index = directory / "index"
    parent: list[Frame] = pickle.loads(index.read_bytes())[1] if is_onto_parent else []
    frames = {frame[0]: frame for frame in parent}
    known = {frame[-1]: frame for frame in parent}
    packs = Packs(directory, 1 + max((frame[1] for frame in parent), default=-1))
    descriptor = os.open(source, os.O_RDONLY)
    chunk_size, zeros = way.chunk, bytes(way.chunk)

    def work(spans: Iterator[tuple[int, int]], lock: threading.Lock) -> None:
        plain = memoryview(mmap.mmap(-1, max(SPAN, chunk_size)))
        packed, sealed = memoryview(bytearray(chunk_size)), memoryview(bytearray(chunk_size + TAG))
        compressor, cipher = zstandard.ZstdCompressor(level=LEVEL), AESGCM(KEY)
        while span := _next(spans, lock):
            length = os.preadv(descriptor, [plain[: span[1]]], span[0])
            for start in range(0, length, chunk_size):
                chunk = plain[start : min(start + chunk_size, length)]
                number = (span[0] + start) // chunk_size
                if chunk[:64] == zeros[:64] and bytes(chunk) == zeros[: len(chunk)]:
                    frames.pop(number, None)
                    continue
                digest = blake3(chunk, key=KEY).digest()
                if way.is_deduplicated and digest in known:
                    frames[number] = (number, *known[digest][1:])
                    continue
                size = compressor.stream_reader(chunk, size=len(chunk)).readinto(packed[: len(chunk) - 1])
                is_compressed = size < len(chunk) - 1
                payload = packed[:size] if is_compressed else chunk
                nonce, frame = b"", payload
                if way.is_encrypted:
                    nonce, frame = os.urandom(12), sealed[: len(payload) + TAG]
                    cipher.encrypt_into(nonce, payload, None, frame)
                pack, offset = packs.append(frame)
                known[digest] = frames[number] = (number, pack, offset, len(frame), is_compressed, nonce, digest)

    _in_threads(way.threads, _spans(extents, chunk_size), work)
    packs.close()
    index.write_bytes(pickle.dumps((source.stat().st_size, sorted(frames.values()))))


class _Decoder:
    """Reads, decrypts, decompresses and hashes one frame after another, for one thread."""

    def __init__(self, packs: dict[int, int], way: Way) -> None:
        self._packs = packs
        self._way = way
        self._stored, self._packed = memoryview(bytearray(way.chunk + TAG)), memoryview(bytearray(way.chunk))
        self._decompressor, self._cipher = zstandard.ZstdDecompressor(), AESGCM(KEY)

    def __call__(self, frame: Frame, chunk: memoryview) -> None:
        _, pack, offset, length, is_compressed, nonce, digest = frame
        stored, packed = self._stored[:length], self._packed[: length - self._way.tag]
        os.preadv(self._packs[pack], [stored], offset)
        if not self._way.is_encrypted:
            packed = stored
        else:
            self._cipher.decrypt_into(nonce, stored, None, packed if is_compressed else chunk)
        if is_compressed:
            self._decompressor.stream_reader(packed).readinto(chunk)
        elif not self._way.is_encrypted:
            chunk[:] = packed
        assert blake3(chunk, key=KEY).digest() == digest


def read_back(directory: Path, destination: Path | None, way: Way) -> None:
    """Read all frames, and write what they hold to ``destination`` unless it is None."""
    size, frames = pickle.loads((directory / "index").read_bytes())
    spans: dict[int, list[Frame]] = {}
    for frame in frames:
        spans.setdefault(frame[0] * way.chunk // RESTORE_SPAN, []).append(frame)
    packs = {n: os.open(directory / f"{n}.pack", os.O_RDONLY) for n in {frame[1] for frame in frames}}
    out = None
    if destination is not None:
        out = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_DIRECT, 0o600)
        os.ftruncate(out, size)

    def work(items: Iterator[list[Frame]], lock: threading.Lock) -> None:
        plain = memoryview(mmap.mmap(-1, RESTORE_SPAN))
        decode = _Decoder(packs, way)
        while span := _next(items, lock):
            runs: list[list[int]] = []
            base = span[0][0] * way.chunk // RESTORE_SPAN * RESTORE_SPAN
            for frame in span:
                position = frame[0] * way.chunk
                end = min(position + way.chunk, size)
                decode(frame, plain[position - base : end - base])
                if runs and runs[-1][1] == position:
                    runs[-1][1] = end
                else:
                    runs.append([position, end])
            if out is not None:
                for start, end in runs:
                    os.pwrite(out, plain[start - base : end - base], start)

    _in_threads(way.threads, iter(spans.values()), work)
    if out is not None:
        os.fsync(out)


def _spans(extents: list[tuple[int, int]], chunk: int) -> Iterator[tuple[int, int]]:
    """Yield spans of whole chunks, each once, though extents may end within them. A chunk may be longer than SPAN."""
    span, done = max(SPAN, chunk), 0
    for offset, length in extents:
        start = max(done, offset // chunk * chunk)
        done = max(done, -(-(offset + length) // chunk) * chunk)
        for position in range(start, done, span):
            yield position, min(span, done - position)


def _next(items: Iterator[T], lock: threading.Lock) -> T | None:
    with lock:
        return next(items, None)


def _in_threads(count: int, items: Iterator[T], work: Callable[[Iterator[T], threading.Lock], None]) -> None:
    lock = threading.Lock()
    with ThreadPoolExecutor(count) as threads:
        for future in [threads.submit(work, items, lock) for _ in range(count)]:
            future.result()


def _peak_memory_bytes() -> int:
    # Not ru_maxrss: that one begins with the size of the process that forked this one.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main() -> None:
    """Do one job and print what it cost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["full", "restore", "verify"])
    parser.add_argument("--source", type=Path)
    parser.add_argument("--extents", type=Path, help="JSON list of [offset, length]; default: the whole source")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--destination", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--chunk-kib", type=int, default=256)
    parser.add_argument("--plain", action="store_true", help="without encryption")
    parser.add_argument("--deduplicate", action="store_true")
    parser.add_argument("--onto-parent", action="store_true", help="what is in the directory is the parent")
    options = parser.parse_args()
    way = Way(
        threads=options.threads,
        chunk=options.chunk_kib * 1024,
        is_encrypted=not options.plain,
        is_deduplicated=options.deduplicate,
    )
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    if options.job == "full":
        whole = [(0, options.source.stat().st_size)]
        extents = json.loads(options.extents.read_text()) if options.extents else whole
        full(options.source, options.directory, extents, way, is_onto_parent=options.onto_parent)
    else:
        read_back(options.directory, options.destination, way)
    print(
        json.dumps(
            {
                "wall_s": time.perf_counter() - started_s,
                "cpu_s": time.process_time() - started_cpu_s,
                "memory_peak_bytes": _peak_memory_bytes(),
            }
        )
    )


if __name__ == "__main__":
    main()
