"""A pool of a Ceph cluster as a target."""

from __future__ import annotations

from targets.rados.options import Namespace, RadosOptions
from targets.rados.target import RadosTarget

__all__ = ["Namespace", "RadosOptions", "RadosTarget"]
