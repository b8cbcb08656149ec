"""The volume tree: a radix tree over chunk indexes (docs/formats/tree.md).

Nodes are immutable and shared between backups, so a new backup writes only the paths to what changed and a
missing pointer means zeros. Where nodes live is the business of the caller, who gives ``load`` and ``save``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from chunker import node
from chunker.node import FANOUT, FANOUT_BITS, Pointer, Slots

LoadNodes = Callable[[Sequence[Pointer]], Awaitable[list[bytes]]]
"""Return the plain bytes of each node asked for, in that order."""
SaveNode = Callable[[bytes], Awaitable[Pointer]]
"""Store the plain bytes of a node and say where they are."""

_PREFETCH_NODES = 8


class Tree(NamedTuple):
    """One volume's index: its root, None when the volume is all zeros, and how many chunks it spans."""

    root: Pointer | None
    chunk_count: int

    @property
    def height(self) -> int:
        return node.height(self.chunk_count)


class TreeReader:
    """Reads pointers lazily; remembers only the path that it read last."""

    def __init__(self, tree: Tree, load: LoadNodes) -> None:
        self._tree = tree
        self._load = load
        self._path: dict[int, tuple[Pointer, Slots]] = {}

    async def leaves(self, first: int, end: int) -> AsyncIterator[Slots]:
        """Yield, ascending and a leaf at a time, chunk index -> pointer for what is not zero in [first, end)."""
        end = min(end, self._tree.chunk_count)
        if self._tree.root is not None and first < end:
            level = self._tree.height - 1
            root_slots = (await self._nodes(level, [self._tree.root]))[0]
            async for leaf in self._walk(root_slots, level, 0, first, end):
                yield leaf

    async def load_ahead(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Load the nodes on the way to the chunks of ``ranges``, all those of a level at once.

        For a ``load`` that remembers them: each of ``ranges``, which are [first, end), is then read without waiting.
        """
        level = self._tree.height
        pointers = {} if self._tree.root is None else {0: self._tree.root}
        while pointers:
            level -= 1
            loaded = await self._load([*pointers.values()])
            if level == 0:
                return
            above = {number: node.decode(level, plain) for number, plain in zip(pointers, loaded, strict=True)}
            shift = level * FANOUT_BITS
            wanted = {number for first, end in ranges for number in range(first >> shift, (end - 1 >> shift) + 1)}
            pointers = {
                number: pointer
                for number in sorted(wanted)
                if (pointer := above.get(number >> FANOUT_BITS, {}).get(number % FANOUT))
            }

    async def _walk(self, slots: Slots, level: int, base: int, first: int, end: int) -> AsyncIterator[Slots]:
        shift = level * FANOUT_BITS
        low = max(0, (first - base) >> shift)
        high = min(FANOUT, ((end - 1 - base) >> shift) + 1)
        wanted = [number for number in range(low, high) if number in slots]
        if level == 0:
            if wanted:
                yield {base + number: slots[number] for number in wanted}
            return
        for batch_start in range(0, len(wanted), _PREFETCH_NODES):
            batch = wanted[batch_start : batch_start + _PREFETCH_NODES]
            children = await self._nodes(level - 1, [slots[number] for number in batch])
            for number, child in zip(batch, children, strict=True):
                async for leaf in self._walk(child, level - 1, base + (number << shift), first, end):
                    yield leaf

    async def _nodes(self, level: int, pointers: list[Pointer]) -> list[Slots]:
        last = self._path.get(level)
        if last is not None and pointers == [last[0]]:
            return [last[1]]
        loaded = [node.decode(level, plain) for plain in await self._load(pointers)]
        self._path[level] = pointers[-1], loaded[-1]
        return loaded


@dataclass(slots=True)
class _OpenNode:
    """A node on the writer's path. ``number`` counts the nodes of its level from the left."""

    number: int
    slots: Slots = field(default_factory=dict)
    is_changed: bool = False


class TreeWriter:
    """Makes a new tree out of an old one; changes come in ascending order of chunk index.

    Holds one path of nodes, whatever the volume's size. Growing adds levels above the old root; shrinking
    cuts. Only nodes that changed are saved.
    """

    def __init__(self, base: Tree, chunk_count: int, load: LoadNodes, save: SaveNode) -> None:
        self._base = base
        self._root = base.root
        self._chunk_count = chunk_count
        self._height = node.height(chunk_count)
        self._load = load
        self._save = save
        self._open: list[_OpenNode | None] = []
        self._position = 0
        self.saved_nodes = 0

    async def set(self, index: int, pointer: Pointer | None) -> None:
        """Let chunk ``index`` be ``pointer``; None means zeros."""
        self._advance(index, index + 1)
        await self._put(0, index, pointer)

    async def clear(self, first: int, end: int) -> None:
        """Let the chunks [first, end) be zeros; costs O(levels), not O(chunks)."""
        self._advance(first, end)
        await self._drop(first, end)

    async def finish(self) -> Tree:
        """Save what is still open and return the new tree."""
        if not self._open and self._base.chunk_count == self._chunk_count:
            return self._base
        await self._begin()
        if self._base.chunk_count > self._chunk_count:
            await self._drop(self._chunk_count, FANOUT**self._height)
        for level in range(self._height - 1):
            await self._close(level)
        top = self._open[-1]
        if top is not None and top.is_changed:
            self._root = await self._saved(self._height - 1, top)
        return Tree(self._root, self._chunk_count)

    def _advance(self, first: int, end: int) -> None:
        if not self._position <= first <= end <= self._chunk_count:
            raise ValueError(f"chunks {first} to {end} do not ascend from {self._position} within {self._chunk_count}")
        self._position = end

    async def _begin(self) -> None:
        """Open the top of the path: the old root, cut or lifted to the new height."""
        if self._open:
            return
        self._open = [None] * self._height
        base_height = self._base.height
        for level in range(base_height - 1, self._height - 1, -1):
            self._root = (await self._slots(level, self._root)).get(0)
        if self._root is not None:
            for level in range(base_height, self._height):
                slots = {0: self._root} if level == base_height else {}
                self._open[level] = _OpenNode(0, slots, is_changed=True)
        if self._open[-1] is None:
            self._open[-1] = _OpenNode(0, await self._slots(self._height - 1, self._root))

    async def _drop(self, first: int, end: int) -> None:
        while first < end:
            level = 0
            while (
                level + 1 < self._height and first % FANOUT ** (level + 1) == 0 and first + FANOUT ** (level + 1) <= end
            ):
                level += 1
            await self._put(level, first >> level * FANOUT_BITS, None)
            first += FANOUT**level

    async def _put(self, level: int, child: int, pointer: Pointer | None) -> None:
        """Set ``child``, counted from the left of the whole level, in its node of ``level``."""
        await self._begin()
        parent = await self._seek(level, child >> FANOUT_BITS)
        slot = child % FANOUT
        if parent.slots.get(slot) == pointer:
            return
        parent.is_changed = True
        if pointer is None:
            del parent.slots[slot]
        else:
            parent.slots[slot] = pointer

    async def _seek(self, level: int, number: int) -> _OpenNode:
        """Open node ``number`` of ``level``, closing what lies left of it."""
        current = self._open[level]
        if current is not None and current.number == number:
            return current
        for below in range(level + 1):
            await self._close(below)
        parent = await self._seek(level + 1, number >> FANOUT_BITS)
        opened = _OpenNode(number, await self._slots(level, parent.slots.get(number % FANOUT)))
        self._open[level] = opened
        return opened

    async def _close(self, level: int) -> None:
        """Save the open node of ``level`` if it changed, and tell its parent, which is open too."""
        closing, self._open[level] = self._open[level], None
        if closing is None or not closing.is_changed:
            return
        pointer = await self._saved(level, closing)
        await self._put(level + 1, closing.number, pointer)

    async def _saved(self, level: int, closing: _OpenNode) -> Pointer | None:
        if not closing.slots:
            return None
        self.saved_nodes += 1
        return await self._save(node.encode(level, closing.slots))

    async def _slots(self, level: int, pointer: Pointer | None) -> Slots:
        return {} if pointer is None else node.decode(level, (await self._load([pointer]))[0])


class _Subtree(NamedTuple):
    """Part of a tree; ``lift`` counts the levels that a higher tree beside it has above this one's root."""

    pointer: Pointer | None
    level: int
    lift: int


async def difference(old: Tree, new: Tree, load: LoadNodes) -> AsyncIterator[int]:
    """Yield, ascending, the index of every chunk whose content differs; beyond its end a volume is zeros.

    Subtrees that the two share are not read.
    """
    level = max(old.height, new.height) - 1
    left, right = (_Subtree(tree.root, level, level + 1 - tree.height) for tree in (old, new))
    async for index in _difference(left, right, 0, load):
        yield index


async def _difference(left: _Subtree, right: _Subtree, number: int, load: LoadNodes) -> AsyncIterator[int]:
    if left == right or _is_same(left, right):
        return
    if left.level < 0:
        yield number
        return
    left_children, right_children = await _children(left, load), await _children(right, load)
    for slot in sorted(left_children.keys() | right_children.keys()):
        absent = _Subtree(None, left.level - 1, 0)
        pair = left_children.get(slot, absent), right_children.get(slot, absent)
        async for index in _difference(*pair, number * FANOUT + slot, load):
            yield index


def _is_same(left: _Subtree, right: _Subtree) -> bool:
    if left.pointer is None or right.pointer is None:
        return left.pointer is right.pointer
    return left.lift == right.lift and left.pointer.id == right.pointer.id


async def _children(tree: _Subtree, load: LoadNodes) -> dict[int, _Subtree]:
    if tree.pointer is None:
        return {}
    if tree.lift:
        return {0: tree._replace(level=tree.level - 1, lift=tree.lift - 1)}
    slots = node.decode(tree.level, (await load([tree.pointer]))[0])
    return {slot: _Subtree(pointer, tree.level - 1, 0) for slot, pointer in slots.items()}
