from __future__ import annotations

from typing import Any

import pytest

from chunker.sources.qemu.chain import Chain

OLD, MID, NEW = (f"backupd-{number:08d}-{number:016x}" for number in (7, 8, 9))


def shown(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "granularity": 65536, "recording": False, "persistent": True} | fields


def chain(*bitmaps: dict[str, Any], drv: str = "qcow2") -> Chain:
    return Chain.of({"drv": drv, "dirty-bitmaps": list(bitmaps)}, prefix="backupd")


def test_bitmaps_of_others_are_none_of_ours() -> None:
    others = [shown("libvirt-1"), shown(f"other-{OLD}"), shown(f"{OLD}0"), {"granularity": 4096}]
    assert chain(*others).bitmaps == ()


def test_the_union_goes_from_the_token_up_to_the_freeze() -> None:
    found = chain(shown(NEW, recording=True), shown(OLD), shown(MID))
    assert found.since(f"{OLD}@65536", until="backupd-00000010") == [OLD, MID, NEW]
    assert found.since(f"{NEW}@65536", until="backupd-00000010") == [NEW]


def test_a_commit_drops_what_is_older_and_nothing_else() -> None:
    assert chain(shown(OLD), shown(MID), shown(NEW)).older_than(NEW) == [OLD, MID]


@pytest.mark.parametrize(
    ("bitmaps", "why"),
    [
        ([shown(OLD), shown(NEW)], "a bitmap after"),
        ([shown(OLD), shown(MID, inconsistent=True), shown(NEW)], "is inconsistent"),
        ([shown(OLD, granularity=4096)], "has granularity 4096, it had 65536"),
        ([shown(MID)], "somebody removed it"),
        ([shown(MID, inconsistent=True)], "QEMU was killed before it was stored"),
        ([], "is not there"),
    ],
)
def test_what_may_miss_a_change_is_not_believed(bitmaps: list[dict[str, Any]], why: str) -> None:
    found = chain(*bitmaps).since(f"{OLD}@65536", until="backupd-00000010")
    assert isinstance(found, str)
    assert why in found


def test_names_go_up_and_are_never_used_again() -> None:
    found = chain(shown(OLD, recording=True))
    first, second = found.next_name(), found.next_name()
    assert first.startswith("backupd-00000008-")
    assert first != second


def test_a_chain_that_was_broken_stays_so() -> None:
    broken = chain(shown(OLD, recording=False))
    assert broken.broken() is not None
    later = chain(shown(OLD), shown(broken.next_name(), recording=True))
    assert later.broken() is None
    assert isinstance(later.since(f"{OLD}@65536", until="backupd-00000099"), str)
