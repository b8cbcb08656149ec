"""The blocking half of the local target: one file per object, below the root directory."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress

from targets.base import Leaving, ObjectInfo, range_end
from targets.errors import ObjectExists, ObjectNotFound, ShortRead
from targets.local import temporary
from targets.local.files import LocalFiles, translated
from targets.local.folders import Folders, folder_conflict
from targets.local.root import Root
from targets.local.walk import walk

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # A named pipe must not hang its reader.
_DIRECT_BYTES_MIN = 1024 * 1024
_BLOCK_SIZE_BYTES = 4096  # Enough for every block size that Linux file systems and disks have today.


class DirectoryStore:
    """Every method blocks; each may be called from several threads."""

    def __init__(self, root: Root, files: LocalFiles) -> None:
        self._root = root
        self._files = files
        self._folders = Folders(files)

    def put(self, key: str, body: memoryview, *, if_absent: bool) -> None:
        """Write a temporary file, then give it its name: a crash leaves the old object or the new one."""
        temp_name = temporary.new_name()
        with translated(f"put {key}"), self._root.opened() as root, self._root.opened_temp(root) as temp:
            try:
                self._write(temp_name, temp, body)
                with self._folders.parent(root, key, create=True) as (parent, name):
                    commit = self._link if if_absent else self._replace
                    commit(key, (temp_name, temp), (name, parent))
                    self._files.fsync(parent)
            finally:
                with suppress(OSError):  # The outcome is decided; what stays is removed at the next start.
                    self._files.unlink(temp_name, dir_fd=temp)

    def get(self, key: str, *, offset: int, length: int | None) -> bytes:
        """Return the range; in one piece, and so without a copy, unless the system gives less than asked."""
        parts = []
        with translated(f"get {key}"), self._opened(key) as (file, size_bytes):
            end = range_end(key, size_bytes, offset=offset, length=length)
            while offset < end:
                parts.append(self._files.pread(file, end - offset, offset))
                offset += _checked(key, len(parts[-1]), offset, end)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def get_into(self, key: str, buffer: memoryview, *, offset: int) -> None:
        """Fill the buffer."""
        with translated(f"get {key}"), self._opened(key) as (file, size_bytes):
            end = range_end(key, size_bytes, offset=offset, length=buffer.nbytes)
            filled = 0
            while filled < buffer.nbytes:
                count = self._files.preadv(file, buffer[filled:], offset + filled)
                filled += _checked(key, count, offset + filled, end)

    def head(self, key: str) -> ObjectInfo:
        """Return key and size."""
        with translated(f"head {key}"), self._opened(key) as (_, size_bytes):
            return ObjectInfo(key, size_bytes)

    def delete(self, key: str) -> None:
        """Remove the file. Its directories stay: another put may be about to use them."""
        with (
            translated(f"delete {key}"),
            self._root.opened() as root,
            suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError),
            self._folders.parent(root, key) as (parent, name),
        ):
            self._files.unlink(name, dir_fd=parent)
            self._files.fsync(parent)

    def leavings(self) -> list[Leaving]:
        """Return the unfinished files of dead processes."""
        with translated("list leavings"), self._root.opened() as root, self._root.opened_temp(root) as temp:
            return temporary.dead(temp, self._files)

    def remove_leaving(self, leaving: Leaving) -> None:
        """Remove an unfinished file."""
        with (
            translated(f"remove {leaving.name}"),
            self._root.opened() as root,
            self._root.opened_temp(root) as temp,
            suppress(FileNotFoundError),
        ):
            self._files.unlink(leaving.name, dir_fd=temp)

    def walk(self, prefix: str) -> Generator[ObjectInfo, None, None]:
        """Yield the objects below a prefix."""
        path = prefix[: prefix.rfind("/") + 1]
        with (
            translated(f"list {prefix or 'all'}"),
            self._root.opened() as root,
            suppress(FileNotFoundError, NotADirectoryError),
            self._folders.parent(root, path) as (directory, _),
        ):
            yield from walk(self._files, directory, path, prefix)

    def _write(self, name: str, directory: int, body: memoryview) -> None:
        with self._files.opened(name, _CREATE, directory=directory) as file:
            written = self._write_directly(file, body) if body.nbytes >= _DIRECT_BYTES_MIN else 0
            while written < body.nbytes:
                written += self._files.write(file, body[written:])
            self._files.fsync(file)

    def _write_directly(self, file: int, body: memoryview) -> int:
        """Write whole blocks past the page cache, which costs more than all else of a put; return how much it was.

        It is less, or nothing, where file system, device or the address of the body are not made for that.
        """
        blocks = body[: body.nbytes // _BLOCK_SIZE_BYTES * _BLOCK_SIZE_BYTES]
        written = 0
        try:
            self._files.set_direct(file, is_direct=True)
            try:
                while written < blocks.nbytes:
                    written += self._files.write(file, blocks[written:])
            finally:
                self._files.set_direct(file, is_direct=False)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        return written

    def _replace(self, key: str, source: tuple[str, int], destination: tuple[str, int]) -> None:
        (temp_name, temp), (name, parent) = source, destination
        try:
            self._files.replace(temp_name, name, src_dir_fd=temp, dst_dir_fd=parent)
        except IsADirectoryError:
            raise folder_conflict(key) from None

    def _link(self, key: str, source: tuple[str, int], destination: tuple[str, int]) -> None:
        (temp_name, temp), (name, parent) = source, destination
        try:  # A link is made only if the name is free, which no rename promises.
            self._files.link(temp_name, name, src_dir_fd=temp, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            # The winner may not have synced it yet, and the caller will count on its object.
            self._files.fsync(parent)
            found = self._files.stat(name, dir_fd=parent, follow_symlinks=False)
            is_folder = stat.S_ISDIR(found.st_mode)
            raise (folder_conflict(key) if is_folder else ObjectExists(f"{key} exists already")) from None

    @contextmanager
    def _opened(self, key: str) -> Iterator[tuple[int, int]]:
        with ExitStack() as held:
            root = held.enter_context(self._root.opened())
            try:
                parent, name = held.enter_context(self._folders.parent(root, key))
                file = held.enter_context(self._files.opened(name, _READ, directory=parent))
            except (FileNotFoundError, NotADirectoryError):
                raise ObjectNotFound(f"{key} does not exist") from None
            found = self._files.stat(file)
            if not stat.S_ISREG(found.st_mode):
                raise ObjectNotFound(f"{key} does not exist: its name is that of a directory or device")
            yield file, found.st_size


def _checked(key: str, count: int, offset: int, end: int) -> int:
    if count == 0:
        raise ShortRead(f"{key}: expected bytes up to {end}, the object was cut to {offset}")
    return count
