"""The operator's section ``[sources.rbd]``, and the images that it allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from chunker.errors import InvalidAddress
from chunker.sources.address import Address
from chunker.sources.base import Found, Source
from chunker.sources.options import read_options
from chunker.sources.rbd.cluster import Cluster
from chunker.sources.rbd.options import RbdOptions
from chunker.sources.rbd.place import Place
from chunker.sources.rbd.snapshots import Snapshots
from chunker.sources.rbd.source import RbdSource


class RbdKind:
    """Images of the pools that the operator allows."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """SourceMisconfigured names the option that is wrong, or says that python3-rbd is missing."""
        self._options = read_options("rbd", RbdOptions, given)
        self._snapshots = Snapshots(self._options.snapshot_prefix, kept=self._options.snapshots_kept)

    def check(self, address: Address) -> None:
        place = Place.of(address)
        if place.parent not in self._options.pools:
            raise InvalidAddress(f"expected an image of {', '.join(self._options.pools) or 'no pool at all'}")

    def open(self, address: Address, *, allow_live: bool, direct_io: bool) -> Source:
        """Return the image. What is read is a snapshot, so it makes no difference whether it is live."""
        return RbdSource(
            Place.of(address),
            conf=self._options.conf,
            user=self._options.user,
            keyring=self._options.keyring,
            timeout_s=self._options.timeout_s,
            snapshots=self._snapshots,
            fast_diff=self._options.fast_diff,
        )

    def places(self) -> Sequence[str]:
        return self._options.pools

    def discover(self, place: str) -> Iterator[Found]:
        """Yield the images of a pool or namespace."""
        pool, _, namespace = place.partition("/")
        options = self._options
        cluster = Cluster(
            Place(pool, namespace, ""),
            conf=options.conf,
            user=options.user,
            keyring=options.keyring,
            timeout_s=options.timeout_s,
        )
        with closing(cluster):
            for image, size_bytes in cluster.images():
                yield Found(str(Address(scheme="rbd", path=f"{place}/{image}")), size_bytes)
