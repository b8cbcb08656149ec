"""A pool of a Ceph cluster as a target."""

from __future__ import annotations

from targets.rados.options import RadosOptions
from targets.rados.session import Place
from targets.rados.target import RadosTarget

__all__ = ["Place", "RadosOptions", "RadosTarget"]
