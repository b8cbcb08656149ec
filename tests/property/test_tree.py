"""The volume tree against a plain dictionary."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from chunker.node import Pointer
from chunker.tree import Tree, TreeReader, TreeWriter, difference

Model = dict[int, Pointer]


class DictNodes:
    """Keeps nodes in memory, and counts what is loaded and saved."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.loads = 0

    async def load(self, pointers: Sequence[Pointer]) -> list[bytes]:
        self.loads += len(pointers)
        return [self.nodes[pointer.id] for pointer in pointers]

    async def save(self, plain: bytes) -> Pointer:
        node_id = hashlib.sha256(plain).digest()
        self.nodes[node_id] = plain
        return Pointer(node_id, bytes(16), len(self.nodes), len(plain))


def pointer(seed: int) -> Pointer:
    return Pointer(hashlib.sha256(seed.to_bytes(8, "big")).digest(), bytes(16), seed, 100)


# Sizes around the places where a level is added: 512 and 512 * 512 chunks.
sizes = st.sampled_from([1, 3, 511, 512, 513, 1500, 262143, 262144, 262145, 300_000, 2**27 + 5])
Change = tuple[int, int, int | None]


@st.composite
def versions(draw: st.DrawFn) -> tuple[int, list[Change]]:
    """A size and ascending changes (first, end, seed or None for zeros) within it."""
    size = draw(sizes)
    bounds = sorted(draw(st.lists(st.integers(0, size), max_size=24)))
    changes: list[Change] = []
    for first, end in zip(bounds[::2], bounds[1::2], strict=False):
        seed = draw(st.none() | st.integers(0, 50))
        changes.append((first, end if seed is None else min(end, first + 3), seed))
    return size, changes


async def write(nodes: DictNodes, base: Tree, model: Model, size: int, changes: list[Change]) -> tuple[Tree, Model]:
    writer = TreeWriter(base, size, nodes.load, nodes.save)
    model = {index: found for index, found in model.items() if index < size}
    for first, end, seed in changes:
        if seed is None:
            await writer.clear(first, end)
            model = {index: found for index, found in model.items() if not first <= index < end}
        else:
            for index in range(first, end):
                await writer.set(index, pointer(seed + index))
                model[index] = pointer(seed + index)
    return await writer.finish(), model


async def read(nodes: DictNodes, tree: Tree, first: int = 0, end: int = 2**40) -> Model:
    found: Model = {}
    async for leaf in TreeReader(tree, nodes.load).leaves(first, end):
        assert list(leaf) == sorted(leaf)
        assert not found or min(leaf) > max(found)
        found.update(leaf)
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(versions(), min_size=1, max_size=4))
def test_every_version_reads_back_as_the_dictionary(history: list[tuple[int, list[Change]]]) -> None:
    async def scenario() -> None:
        nodes = DictNodes()
        tree, model = Tree(None, 1), Model()
        kept: list[tuple[Tree, Model]] = []
        for size, changes in history:
            tree, model = await write(nodes, tree, model, size, changes)
            kept.append((tree, model))
        for old_tree, old_model in kept:  # Path copying never touches an older version.
            assert await read(nodes, old_tree) == old_model

    asyncio.run(scenario())


@settings(max_examples=100, deadline=None)
@given(versions(), versions())
def test_difference_is_what_the_dictionaries_differ_in(
    old: tuple[int, list[Change]], new: tuple[int, list[Change]]
) -> None:
    async def scenario() -> None:
        nodes = DictNodes()
        tree, model = await write(nodes, Tree(None, 1), {}, *old)
        changed_tree, changed_model = await write(nodes, tree, model, *new)
        found = [index async for index in difference(tree, changed_tree, nodes.load)]
        assert found == sorted(
            index for index in model.keys() | changed_model.keys() if model.get(index) != changed_model.get(index)
        )

    asyncio.run(scenario())


@settings(max_examples=100, deadline=None)
@given(versions(), st.integers(0, 300_000), st.integers(0, 300_000))
def test_a_range_reads_only_its_chunks(version: tuple[int, list[Change]], first: int, end: int) -> None:
    async def scenario() -> None:
        nodes = DictNodes()
        tree, model = await write(nodes, Tree(None, 1), {}, *version)
        expected = {index: found for index, found in model.items() if first <= index < end}
        assert await read(nodes, tree, first, end) == expected

    asyncio.run(scenario())


@settings(max_examples=100, deadline=None)
@given(versions(), st.lists(st.tuples(st.integers(0, 300_000), st.integers(1, 600)), min_size=1, max_size=5))
def test_what_was_loaded_ahead_is_not_loaded_again(
    version: tuple[int, list[Change]], places: list[tuple[int, int]]
) -> None:
    async def scenario() -> None:
        nodes = DictNodes()
        tree, model = await write(nodes, Tree(None, 1), {}, *version)
        loaded: dict[bytes, bytes] = {}
        trips = 0

        async def load(pointers: Sequence[Pointer]) -> list[bytes]:
            nonlocal trips
            trips += 1
            plains = await nodes.load(pointers)
            loaded.update(zip([one.id for one in pointers], plains, strict=True))
            return plains

        async def remembered(pointers: Sequence[Pointer]) -> list[bytes]:
            return [loaded[one.id] for one in pointers]

        ranges = [(first, first + count) for first, count in places]
        await TreeReader(tree, load).load_ahead(ranges)
        assert trips <= tree.height
        for first, end in ranges:
            found = [leaf async for leaf in TreeReader(tree, remembered).leaves(first, end)]
            expected = {index: one for index, one in model.items() if first <= index < end}
            assert {index: one for leaf in found for index, one in leaf.items()} == expected

    asyncio.run(scenario())


@settings(max_examples=50, deadline=None)
@given(versions())
def test_equal_content_gives_equal_roots(version: tuple[int, list[Change]]) -> None:
    async def scenario() -> None:
        nodes = DictNodes()
        tree, model = await write(nodes, Tree(None, 1), {}, *version)
        changes: list[Change] = [(index, index + 1, None) for index in sorted(model)]
        emptied, nothing = await write(nodes, tree, model, version[0], changes)
        assert nothing == {}
        assert emptied.root is None

    asyncio.run(scenario())
