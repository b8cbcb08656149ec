"""A pool of a Ceph cluster as a target."""

from __future__ import annotations

from targets.rados.options import RadosOptions
from targets.rados.session import Namespace
from targets.rados.target import RadosTarget

__all__ = ["Namespace", "RadosOptions", "RadosTarget"]
