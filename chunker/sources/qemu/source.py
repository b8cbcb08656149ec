"""A disk of a running QEMU or storage daemon as a source, with dirty bitmaps as its tracking."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from chunker.errors import SourceChanged, SourceError, SourceMissing
from chunker.extents import Extent, between, clip, subtract
from chunker.sources.base import Changes, ParentPoint
from chunker.sources.gathered import gather
from chunker.sources.nbd import wire
from chunker.sources.nbd.client import Client, Effort
from chunker.sources.nbd.place import Place
from chunker.sources.nbd.source import data_extents, read_into, status
from chunker.sources.qemu import disk as disks
from chunker.sources.qemu import fleecing, server
from chunker.sources.qemu.agent import quiesced
from chunker.sources.qemu.chain import CHAIN_MAX, Chain, merged
from chunker.sources.qemu.disk import CHANGES, EXPORT, Disk, Wanted
from chunker.sources.qemu.fleecing import Space
from chunker.sources.qemu.monitor import Monitor, checking, translated
from chunker.sources.qemu.qmp import Qmp, QmpError, QmpLost, action

Fleecing = Literal["auto", "filter", "job"]
_FILTER_SINCE = (7, 1)  # The first QEMU whose filter can give a snapshot up for the sake of the guest.
_SMALL_BYTES = 4 * 1024 * 1024  # Less than that is read sooner than asked for holes.


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What all points of one QEMU have in common. ``nbd_socket``: somebody else has started its NBD server there."""

    monitor: Monitor
    space: Space
    fleecing: Fleecing = "auto"
    prefix: str = "backupd"
    granularity_bytes: int = 65536
    nbd_socket: str | None = None
    agent: str | None = None
    freeze_timeout_s: float = 5.0
    effort: Effort = field(default_factory=Effort)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """One disk at the instant of its freeze. ``lost`` says why no earlier point can be told the changes since."""

    disk: Disk
    chain: Chain
    bitmap: str
    by_filter: bool
    lost: str | None


class QemuSource:
    """A disk, frozen at each opening while its guest goes on."""

    def __init__(self, site: Site, wanted: Wanted) -> None:
        self._site = site
        self._wanted = wanted

    def open(self) -> QemuPoint:
        """Freeze the disk and start a new bitmap. SourceMissing, SourceBusy, SourceUnreadable."""
        (point,) = open_group(self._site, [self._wanted])
        return point


def open_group(site: Site, wanted: Sequence[Wanted]) -> list[QemuPoint]:
    """Freeze several disks of one QEMU at one and the same instant, by jobs. As ``QemuSource.open``."""
    what = f"{', '.join(map(str, wanted))} of {site.monitor.path}"
    with translated(what, lost=SourceMissing), site.monitor.talk() as qmp, ExitStack() as undo:
        found = [disks.find(qmp, one) for one in wanted]
        for disk in found:
            site.monitor.take(disk.node, disk)
            undo.callback(site.monitor.give_back, disk.node)
            disks.clean(qmp, disk, site.space.directory)
        attempts = [_attempt(qmp, disk, site, is_alone=len(found) == 1) for disk in found]
        for attempt in attempts:
            undo.callback(_undo, qmp, attempt, site)
        warning = _freeze(qmp, attempts, site)
        points = []
        for attempt in attempts:
            point = _point(qmp, attempt, site, warning)
            undo.callback(point.let_go)
            points.append(point)
        undo.pop_all()
    return points


def _attempt(qmp: Qmp, disk: Disk, site: Site, *, is_alone: bool) -> _Attempt:
    chain = Chain.of(disks.find(qmp, Wanted(node=disk.node)).shown, prefix=site.prefix)
    lost = chain.broken()
    if len(chain.bitmaps) >= CHAIN_MAX:
        lost = f"tracking was begun anew after {CHAIN_MAX} backups that failed"
        gone = [action("block-dirty-bitmap-remove", node=disk.node, name=one.name) for one in chain.bitmaps]
        qmp.transaction(gone)
        chain = replace(chain, bitmaps=())
    # Filters are no part of a transaction: of several disks each would be frozen at an instant of its own.
    can_filter = is_alone and disk.qom_path is not None and qmp.version >= _FILTER_SINCE
    if site.fleecing == "filter" and not can_filter:
        needed = "QEMU 7.1, a device of a guest that uses the node, and no other disk at the same instant"
        raise QmpError(f"node {disk.node}: fleecing = filter needs {needed}")
    by_filter = can_filter and site.fleecing != "job"
    return _Attempt(disk=disk, chain=chain, bitmap=chain.next_name(), by_filter=by_filter, lost=lost)


def _freeze(qmp: Qmp, attempts: Sequence[_Attempt], site: Site) -> str | None:
    """Freeze all disks at one instant; return what there is to say about that."""
    for attempt in attempts:
        fleecing.prepare(qmp, attempt.disk, site.space, by_filter=attempt.by_filter)
    starts = [_start_bitmap(one, site) for one in attempts]
    stops = [stop for one in attempts for stop in _stop_bitmaps(one)]
    jobs = [fleecing.job_action(one.disk) for one in attempts if not one.by_filter]
    with quiesced(site.agent, timeout_s=site.freeze_timeout_s) as quiet:
        if jobs:
            qmp.transaction([*starts, *stops, *jobs])
        else:
            # A filter is no part of a transaction. So the new bitmap starts before it and the old ones stop after
            # it: what is written in between is in both.
            qmp.transaction(starts)
            for attempt in attempts:
                fleecing.insert_filter(qmp, attempt.disk)
            if stops:
                qmp.transaction(stops)
    return quiet.problem


def _start_bitmap(attempt: _Attempt, site: Site) -> dict[str, Any]:
    return action(
        "block-dirty-bitmap-add",
        node=attempt.disk.node,
        name=attempt.bitmap,
        granularity=site.granularity_bytes,
        persistent=not attempt.chain.is_raw,
    )


def _stop_bitmaps(attempt: _Attempt) -> list[dict[str, Any]]:
    names = attempt.chain.recording()
    return [action("block-dirty-bitmap-disable", node=attempt.disk.node, name=name) for name in names]


def _point(qmp: Qmp, attempt: _Attempt, site: Site, warning: str | None) -> QemuPoint:
    disk = attempt.disk
    place = server.export(
        qmp,
        monitor=site.monitor.path,
        directory=site.space.directory,
        running=site.nbd_socket,
        name=disk.name(EXPORT),
        node=fleecing.frozen_node(disk, by_filter=attempt.by_filter),
        bitmaps=[],
    )
    # Where a job holds the disk, only true reads are ordered with the guest's writes; a question for zeros is not.
    client = Client(place, [wire.ALLOCATION], tls=None, effort=site.effort, is_exact=not attempt.by_filter)
    return QemuPoint(site, attempt, client, warning)


def _undo(qmp: Qmp, attempt: _Attempt, site: Site) -> None:
    with suppress(QmpError, QmpLost, SourceError):  # What failed before is what is told; the next attempt cleans too.
        disks.clean(qmp, attempt.disk, site.space.directory, only=attempt.disk.attempt)
        server.stop_if_unused(qmp, running=site.nbd_socket)


class QemuPoint:
    """A disk as it was when it was frozen. ``warning`` is what there is to say about the freeze."""

    def __init__(self, site: Site, attempt: _Attempt, client: Client, warning: str | None) -> None:
        self._site = site
        self._attempt = attempt
        self._disk = attempt.disk
        self._client = client
        self._what = f"node {attempt.disk.node} of {site.monitor.path}"
        self._maps = threading.Lock()
        self._holes: tuple[Extent, ...] | None = None
        self._is_open = True
        self.warning = warning
        self.size_bytes = client.export.size_bytes
        self.identity = attempt.disk.identity
        self.token: str | None = f"{attempt.bitmap}@{site.granularity_bytes}"

    def changed_since(self, parent: ParentPoint) -> Changes:
        if parent.identity != self.identity:
            return Changes(None, f"the parent is of {parent.identity}, this volume is {self.identity}")
        if parent.token is None:
            return Changes(None, "the parent has no dirty bitmap")
        if self._attempt.lost is not None:
            return Changes(None, self._attempt.lost)
        union = self._attempt.chain.since(parent.token, until=self._attempt.bitmap)
        if isinstance(union, str):
            return Changes(None, union)
        return Changes(self._dirty(union))

    def data_extents(self, within: Extent) -> Iterator[Extent]:
        asked = between(within.offset_bytes, min(within.end_bytes, self.size_bytes))
        if asked.length_bytes <= _SMALL_BYTES:
            yield from clip([asked], asked)
        elif self._attempt.by_filter:
            yield from data_extents(self._client, asked)
        else:
            yield from subtract([asked], self._frozen_holes())

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        read_into(self._client, self._what, offset_bytes, buffer)

    def check(self) -> None:
        disk = self._disk
        with checking(self._what), self._site.monitor.talk() as qmp:
            found = disks.find(qmp, Wanted(node=disk.node))
            if found.identity != self.identity:
                raise SourceChanged(f"{self._what} is now {found.identity}, it was {self.identity}")
            if problem := fleecing.problem(qmp, disk, by_filter=self._attempt.by_filter):
                raise SourceChanged(f"{self._what}: {problem}, so what was read may be of a later time")
        with checking(self._what):
            self._client.check()
            # A filter that has given its snapshot up refuses every read.
            self._client.read_into(0, memoryview(bytearray(min(512, self.size_bytes))))

    def commit(self) -> None:
        with translated(self._what), self._site.monitor.talk() as qmp:
            found = disks.find(qmp, Wanted(node=self._disk.node))
            chain = Chain.of(found.shown, prefix=self._site.prefix)
            if any(one.name == self._attempt.bitmap for one in chain.bitmaps):
                old = chain.older_than(self._attempt.bitmap)
                gone = [action("block-dirty-bitmap-remove", node=found.node, name=name) for name in old]
                if gone:
                    qmp.transaction(gone)

    def rollback(self) -> None:
        """Keep every bitmap: the union from the parent on still has all that changed since then."""

    def close(self) -> None:
        if not self._is_open:
            return
        self.let_go()
        disk, directory = self._disk, self._site.space.directory
        try:
            with self._site.monitor.talk() as qmp:
                disks.clean(qmp, disk, directory, only=disk.attempt)
                server.stop_if_unused(qmp, running=self._site.nbd_socket)
        except (QmpError, QmpLost, SourceError):
            # QEMU has ended, and all that we made in it; or else the next attempt cleans up.
            disks.remove_files(disk, directory, only=disk.attempt)

    def let_go(self) -> None:
        """Close what does not need the monitor."""
        self._is_open = False
        self._client.close()
        self._site.monitor.give_back(self._disk.node)

    def _dirty(self, names: Iterable[str]) -> tuple[Extent, ...]:
        """Return what the union of bitmaps shows as changed. SourceUnreadable."""
        name, node = self._disk.name(CHANGES), self._disk.node
        with translated(self._what):
            with self._site.monitor.talk() as qmp:
                qmp.transaction(merged(names, into=name, node=node))
                place = self._exported(qmp, name)
            try:
                return self._told(place, name)  # Which may take long, so that others may have the monitor meanwhile.
            finally:
                with self._site.monitor.talk() as qmp:
                    disks.drop_export(qmp, name)
                    qmp.run("block-dirty-bitmap-remove", node=node, name=name)

    def _exported(self, qmp: Qmp, bitmap: str) -> Place:
        site, disk = self._site, self._disk
        return server.export(
            qmp,
            monitor=site.monitor.path,
            directory=site.space.directory,
            running=site.nbd_socket,
            name=bitmap,
            node=fleecing.frozen_node(disk, by_filter=self._attempt.by_filter),
            bitmaps=[{"node": disk.node, "name": bitmap}],
        )

    def _told(self, place: Place, bitmap: str) -> tuple[Extent, ...]:
        context = wire.bitmap_context(bitmap)
        client = Client(place, [context], tls=None, effort=self._site.effort)
        try:
            if context not in client.export.contexts.values():
                raise QmpError(f"the NBD server does not show bitmap {bitmap}")
            told = status(client, context, Extent(0, self.size_bytes))
            return gather(extent for extent, flags in told if flags & wire.BITMAP_DIRTY)
        finally:
            client.close()

    def _frozen_holes(self) -> tuple[Extent, ...]:
        """Return what was zeros when the disk was frozen: what is zeros now, and was not written to since."""
        with self._maps:
            if self._holes is None:
                told = status(self._client, wire.ALLOCATION, Extent(0, self.size_bytes))
                zeros = _largest(extent for extent, flags in told if flags & wire.ALLOCATION_ZERO)
                self._holes = subtract(zeros, self._dirty([self._attempt.bitmap]))
            return self._holes


_HOLES_MAX = 65536


def _largest(holes: Iterable[Extent]) -> list[Extent]:
    """Return holes that are worth it, as many as memory has room for."""
    kept: list[Extent] = []
    for hole in holes:
        if hole.length_bytes >= _SMALL_BYTES // 64 and len(kept) < _HOLES_MAX:
            kept.append(hole)
    return kept
