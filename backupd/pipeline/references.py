"""Trees that are read as far as they can be: what is lost with a node, and which part of a backup needs a frame."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from backupd.errors import CorruptObject
from chunker import node
from chunker.node import FANOUT, Pointer, Slots
from chunker.tree import LoadNodes, Tree

_BATCH_NODES = 8
_SUBTREES_REMEMBERED = 16 * 1024


class LostChunks(NamedTuple):
    """Chunks [first, end) of a tree that nobody can find any more, since a node above them cannot be read."""

    first: int
    end: int
    pointer: Pointer
    error: CorruptObject


async def readable_leaves(tree: Tree, load: LoadNodes) -> AsyncIterator[Slots | LostChunks]:
    """Yield, ascending, the chunks that are not zero, a leaf at a time, and between them what is lost."""
    if tree.root is not None:
        async for found in _below(tree.height - 1, [(0, tree.root)], tree.chunk_count, load):
            yield found


async def _below(
    level: int, nodes: Sequence[tuple[int, Pointer]], chunk_count: int, load: LoadNodes
) -> AsyncIterator[Slots | LostChunks]:
    """Walk nodes of one level; each comes with the first chunk that it is for."""
    for batch in _batches(nodes):
        plains = await load_each(load, [pointer for _, pointer in batch])
        for (base, pointer), plain in zip(batch, plains, strict=True):
            if isinstance(plain, CorruptObject):
                yield LostChunks(base, min(base + FANOUT ** (level + 1), chunk_count), pointer, plain)
                continue
            slots = node.decode(level, plain)
            if level == 0:
                yield {base + slot: child for slot, child in slots.items()}
                continue
            children = [(base + slot * FANOUT**level, child) for slot, child in slots.items()]
            async for found in _below(level - 1, children, chunk_count, load):
                yield found


async def load_each(load: LoadNodes, pointers: Sequence[Pointer]) -> list[bytes | CorruptObject]:
    """Return the plain bytes of each node, or what is wrong with it."""
    try:
        return [*await load(pointers)]
    except* CorruptObject:
        pass  # One of them at least: each by itself.
    found: list[bytes | CorruptObject] = []
    for pointer in pointers:
        try:
            found += await load([pointer])
        except CorruptObject as error:
            found.append(error)
    return found


class Needed(NamedTuple):
    """Chunks [first, end) of a tree need the frame of ``pointer``, which is a node's or one chunk's."""

    first: int
    end: int
    pointer: Pointer
    is_node: bool = False
    is_readable: bool = True


Wanted = Callable[[Sequence[Pointer]], Awaitable[Collection[Pointer]]]
"""Return those of some pointers that are looked for."""


class ReferenceFinder:
    """Finds what parts of trees need certain frames. A subtree that several trees share is read once.

    What a node is for that cannot be read counts as needing that node, wanted or not. Remembers what it found in
    so many subtrees, which is next to nothing where nothing is damaged.
    """

    def __init__(self, load: LoadNodes, wanted: Wanted) -> None:
        self._load = load
        self._wanted = wanted
        self._known: OrderedDict[bytes, list[Needed]] = OrderedDict()

    async def find(self, tree: Tree) -> list[Needed]:
        """Return what needs a wanted frame in ``tree``, from the left to the right."""
        if tree.root is None:
            return []
        (found,) = await self._in_nodes(tree.height - 1, [tree.root])
        return [one._replace(end=min(one.end, tree.chunk_count)) for one in found]

    async def _in_nodes(self, level: int, pointers: Sequence[Pointer]) -> list[list[Needed]]:
        """Return what is needed in the subtree of each node, counted from its first chunk."""
        wanted = await self._wanted(pointers)
        unknown = [pointer for pointer in pointers if pointer.id not in self._known]
        plains = dict(zip(unknown, await load_each(self._load, unknown), strict=True)) if unknown else {}
        found: list[list[Needed]] = []
        for pointer in pointers:
            plain = plains.get(pointer)
            whole = Needed(0, FANOUT ** (level + 1), pointer, is_node=True)
            if isinstance(plain, CorruptObject):
                found.append([whole._replace(is_readable=False)])
                continue
            below = self._known[pointer.id] if plain is None else await self._in_node(level, pointer, plain)
            found.append([whole, *below] if pointer in wanted else below)
        return found

    async def _in_node(self, level: int, pointer: Pointer, plain: bytes) -> list[Needed]:
        slots = node.decode(level, plain)
        found: list[Needed] = []
        if level == 0:
            wanted = await self._wanted([*slots.values()])
            found += [Needed(slot, slot + 1, child) for slot, child in slots.items() if child in wanted]
        else:
            for batch in _batches([*slots.items()]):
                inner = await self._in_nodes(level - 1, [child for _, child in batch])
                for (slot, _), needed in zip(batch, inner, strict=True):
                    base = slot * FANOUT**level
                    found += [one._replace(first=base + one.first, end=base + one.end) for one in needed]
        self._known[pointer.id] = found
        if len(self._known) > _SUBTREES_REMEMBERED:
            self._known.popitem(last=False)
        return found


def _batches(items: Sequence[tuple[int, Pointer]]) -> Iterator[Sequence[tuple[int, Pointer]]]:
    for first in range(0, len(items), _BATCH_NODES):
        yield items[first : first + _BATCH_NODES]
