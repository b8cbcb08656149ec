"""The composition root: the only module that builds everything, and takes it down again."""

from __future__ import annotations
