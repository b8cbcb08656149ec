"""A container of an OpenStack Swift, or of another store that speaks its protocol, as a target."""

from __future__ import annotations

from targets.swift.options import Place, SwiftOptions
from targets.swift.target import SwiftTarget

__all__ = ["Place", "SwiftOptions", "SwiftTarget"]
