"""Marking: every tree of a repository walked, each shared node once; no chunk is ever read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

from backupd.errors import CorruptObject
from backupd.pipeline.fetch import NodeFetcher
from backupd.pipeline.marks import Marks, UnreadNode
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.workers import Workers
from backupd.repository import layout
from backupd.repository.folders import pack_folders
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository
from chunker import node
from chunker.errors import CorruptNode
from chunker.node import Pointer

_NODES_AT_A_TIME = 32
_LISTED_AT_A_TIME = 1000


class Marker:
    """Fills ``marks`` with what one repository on one target has and needs."""

    def __init__(self, repository: Repository, marks: Marks, workers: Workers, progress: ProgressMeter) -> None:
        self._repository = repository
        self._marks = marks
        self._workers = workers
        self._progress = progress
        self._nodes = NodeFetcher(repository, workers)

    async def list_packs(self) -> None:
        """Note every pack; what is stored later is never judged."""
        for folder in await pack_folders(self._repository.target):
            async for page in _pages(self._listed(folder)):
                found = [(one, size) for key, size in page if (one := layout.pack_id(key)) is not None]
                await self._workers.run(self._marks.add_packs, found)

    async def list_forwards(self) -> AsyncIterator[list[bytes]]:
        """Note every forward that is listed, and yield whose they are. A listing may not have all."""
        async for page in _pages(self._listed(layout.FORWARDS)):
            forwards = [(one, size) for key, size in page if (one := layout.forwarded_pack_id(key)) is not None]
            await self.add_forwards(forwards)
            yield [pack_id for pack_id, _ in forwards]

    async def add_forwards(self, forwards: Sequence[tuple[bytes, int]]) -> None:
        """Note forwards: of which packs, and their sizes, 0 for one that was not listed."""
        await self._workers.run(self._marks.add_forwards, forwards)
        # A listing may show what was deleted a while ago. Frames that were moved would be taken to be still in
        # a pack that is gone, and the forward that leads to them to be in nobody's way.
        for pack_id in await self._workers.run(self._marks.packs_among, [one for one, _ in forwards]):
            if not await self._repository.has_pack(pack_id):
                await self._workers.run(self._marks.drop_pack, pack_id)

    async def mark(self, backup_id: str) -> bool:
        """Note what a backup needs, if that was not done before; tell whether it has a manifest.

        CorruptObject when its tree cannot be read: then nobody knows what it needs, and nothing may be deleted.
        """
        if await self._workers.run(self._marks.has_root, backup_id):
            return True
        manifest = await self._repository.manifest(backup_id)
        if manifest is None:
            return False
        try:
            await self._mark(manifest)
        except CorruptObject as error:
            error.add_note(f"nothing is collected while backup {backup_id}, which needs it, is there and not repaired")
            raise
        return True

    async def _mark(self, manifest: Manifest) -> None:
        tree = manifest.tree
        roots = [] if tree.root is None else [tree.root]
        await self._learn(roots)
        await self._workers.run(self._marks.add_root, manifest.backup_id, tree.root, tree.height - 1)
        await self.read_nodes()

    async def read_nodes(self) -> None:
        """Read what was met and not read yet, until there is no more of it."""
        while unread := await self._workers.run(self._marks.next_unread, _NODES_AT_A_TIME):
            plains = await self._nodes.fetch([one.pointer for one in unread])
            read = await self._workers.run(_decoded, unread, plains)
            await self._learn(pointer for _, pointers in read for pointer in pointers)
            await self._workers.run(self._marks.add_read, read)
            self._progress.add(sum(map(len, plains)))

    async def _learn(self, pointers: Iterable[Pointer]) -> None:
        """Load the forwards of packs that are gone, as far as these pointers lead, whether or not they were listed."""
        kept = [*pointers]
        while unknown := await self._workers.run(self._marks.unknown, kept):
            for pack_id in sorted(unknown):
                places = await self._repository.forward(pack_id)
                await self._workers.run(self._marks.learn, pack_id, places)

    async def _listed(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        async for info in self._repository.target.list(prefix):
            yield info.key, info.size_bytes


def _decoded(unread: list[UnreadNode], plains: list[bytes]) -> list[tuple[UnreadNode, list[Pointer]]]:
    read = []
    for one, plain in zip(unread, plains, strict=True):
        try:
            read.append((one, [*node.decode(one.level, plain).values()]))
        except CorruptNode as error:
            where = f"{layout.pack(one.pointer.pack)}: node {one.pointer.id.hex()}"
            raise CorruptObject(f"{where}: {error}", pack_id=one.pointer.pack) from error
    return read


async def _pages(found: AsyncIterator[tuple[str, int]]) -> AsyncIterator[list[tuple[str, int]]]:
    page: list[tuple[str, int]] = []
    async for one in found:
        page.append(one)
        if len(page) >= _LISTED_AT_A_TIME:
            yield page
            page = []
    if page:
        yield page
