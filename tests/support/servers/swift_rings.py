"""Makes the rings of a Swift with one disk: swift_rings.py DIRECTORY ACCOUNT_PORT CONTAINER_PORT OBJECT_PORT."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

POLICIES = ("gold", "silver")


def main(directory: str, *ports: str) -> None:
    builder: Any = import_module("swift.common.ring.builder")  # It has no types, and only this process needs it.
    account, container, objects = ports
    rings = {"account": account, "container": container}
    rings |= {f"object{f'-{number}' if number else ''}": objects for number in range(len(POLICIES))}
    for name, port in rings.items():
        ring = builder.RingBuilder(6, 1, 0)
        place = {"ip": "127.0.0.1", "port": int(port), "replication_ip": "127.0.0.1", "replication_port": int(port)}
        ring.add_dev({"id": 0, "region": 1, "zone": 1, "device": "disk", "weight": 1.0, "meta": "", **place})
        ring.rebalance()
        ring.get_ring().save(f"{directory}/{name}.ring.gz")


if __name__ == "__main__":
    main(*sys.argv[1:])
