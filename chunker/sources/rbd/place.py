"""Which image of a cluster: pool, namespace and name. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chunker.errors import InvalidAddress
from chunker.sources.address import Address

# What Ceph takes for a name, less what would mean something else in a path or a specification of an image.
_NAME = re.compile(r"[^/@\x00-\x1f\x7f]{1,200}")


@dataclass(frozen=True, slots=True)
class Place:
    """An image by its name, as ``rbd`` writes it: POOL/IMAGE or POOL/NAMESPACE/IMAGE."""

    pool: str
    namespace: str
    image: str

    @classmethod
    def of(cls, address: Address) -> Place:
        """Return what an address names. InvalidAddress."""
        address.only_options()
        names = address.path.split("/")
        has_authority = bool(address.host) or address.port is not None
        if has_authority or len(names) not in (2, 3) or not all(map(_NAME.fullmatch, names)):
            raise InvalidAddress("expected rbd:POOL/IMAGE or rbd:POOL/NAMESPACE/IMAGE, without a snapshot")
        return cls(names[0], names[1] if len(names) == 3 else "", names[-1])

    @property
    def parent(self) -> str:
        """Where the image is: the pool, and the namespace if it has one."""
        return f"{self.pool}/{self.namespace}" if self.namespace else self.pool

    def __str__(self) -> str:
        return f"rbd:{self.parent}/{self.image}"
