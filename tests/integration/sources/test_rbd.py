"""Volumes on a real cluster: what else happens to an image and its snapshots while backups are made of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from chunker.errors import InvalidAddress, SourceChanged, SourceMissing, SourceUnreadable
from chunker.extents import Extent, merge
from chunker.sources.base import ParentPoint, PointInTime, Source
from chunker.sources.open import Sources
from chunker.testing import assert_covers, opened, read
from tests.support.rbd_images import FAST, LAYERING, OBJECT_BYTES, Images
from tests.support.servers.ceph import POOL, Ceph
from tests.support.volumes import random_bytes

CONTENT = random_bytes(8 * OBJECT_BYTES)
WHOLE = Extent(0, len(CONTENT))


def committed(source: Source) -> ParentPoint:
    with opened(source) as point:
        point.commit()
        return parent_of(point)


def parent_of(point: PointInTime) -> ParentPoint:
    return ParentPoint(point.token, point.identity, point.size_bytes)


def told(point: PointInTime, parent: ParentPoint, content: bytes) -> bytes:
    """Return what an incremental makes of the content of its parent."""
    changes = point.changed_since(parent)
    assert changes.extents is not None, changes.reason
    made = bytearray(content[: point.size_bytes].ljust(point.size_bytes, b"\xff"))
    for extent in changes.extents:
        made[extent.offset_bytes : extent.end_bytes] = read(point, extent)
    return bytes(made)


def data_of(point: PointInTime) -> bytes:
    """Return what a full backup makes of the volume."""
    made = bytearray(point.size_bytes)
    for extent in point.data_extents(Extent(0, point.size_bytes)):
        made[extent.offset_bytes : extent.end_bytes] = read(point, extent)
    return bytes(made)


def disturb(images: Images, name: str, chance: random.Random) -> None:
    """Do something that happens to images."""
    with images.opened(name) as image:
        size_bytes = image.size()
        offset = chance.randrange(size_bytes)
        length = min(chance.choice((1, 4096, OBJECT_BYTES, 3 * OBJECT_BYTES)), size_bytes - offset)
        theirs = [one["name"] for one in image.list_snaps() if one["name"].startswith("their-")]
        match chance.choice(("write", "write", "discard", "zero", "resize", "snapshot", "remove", "roll back")):
            case "write":
                image.write(chance.randbytes(length), offset)
            case "discard":
                image.discard(offset // OBJECT_BYTES * OBJECT_BYTES, min(OBJECT_BYTES, size_bytes))
            case "zero":
                image.write_zeroes(offset, length)
            case "resize":
                image.resize(chance.randrange(OBJECT_BYTES, len(CONTENT) * 2))
            case "snapshot":
                image.create_snap(f"their-{chance.getrandbits(64)}")
            case "remove" if theirs:
                image.remove_snap(chance.choice(theirs))
            case "roll back" if theirs:
                image.rollback_to_snap(chance.choice(theirs))


class TestSnapshots:
    def test_those_of_others_are_never_removed(self, images: Images) -> None:
        name = images.create(CONTENT)
        theirs = ["daily", "backupd", "backupd.1", "backupd." + "0" * 31, "other." + "0" * 32]
        with images.opened(name) as image:
            for snapshot in theirs:
                image.create_snap(snapshot)
        source = images.source(name)
        committed(source)
        with opened(source) as point:
            point.rollback()
        committed(source)
        assert set(images.snapshots(name)) > set(theirs)
        assert len(images.snapshots(name)) == len(theirs) + 1

    def test_a_commit_removes_what_crashes_left_behind(self, images: Images) -> None:
        name = images.create(CONTENT)
        for _ in range(3):
            with opened(images.source(name)):
                pass
        assert len(images.snapshots(name)) == 3
        committed(images.source(name))
        assert len(images.snapshots(name)) == 1

    def test_crashes_without_end_leave_a_bounded_number_behind(self, images: Images) -> None:
        name = images.create(CONTENT)
        for _ in range(19):
            with opened(images.source(name)):
                pass
        assert len(images.snapshots(name)) == 17

    def test_one_that_somebody_cloned_stays(self, images: Images) -> None:
        name = images.create(CONTENT)
        committed(images.source(name))
        (cloned,) = images.snapshots(name)
        with images.opened(name) as image:
            image.protect_snap(cloned)
        committed(images.source(name))
        assert cloned in images.snapshots(name)

    def test_one_that_is_being_read_is_not_removed_by_another_backup_of_the_image(self, images: Images) -> None:
        name = images.create(CONTENT)
        sources = Sources({"rbd": {"pools": [POOL], "conf": str(images.ceph.conf)}})
        with opened(sources.open(f"rbd:{POOL}/{name}")) as point:
            committed(sources.open(f"rbd:{POOL}/{name}"))
            assert read(point, WHOLE) == CONTENT
            point.check()

    def test_more_are_kept_where_several_volumes_share_an_image(self, images: Images) -> None:
        source = images.source(images.create(CONTENT), snapshots_kept=2)
        older = committed(source)
        committed(source)
        with opened(source) as point:
            assert point.changed_since(older).extents == ()

    def test_one_that_is_removed_while_it_is_read_is_noticed(self, images: Images) -> None:
        name = images.create(CONTENT)
        with opened(images.source(name)) as point:
            with images.opened(name) as image:
                image.remove_snap(images.snapshots(name)[0])
            with pytest.raises(SourceChanged, match="was removed while it was read"):
                point.check()

    def test_without_that_of_the_parent_the_reason_says_so(self, images: Images) -> None:
        name = images.create(CONTENT)
        parent = committed(images.source(name))
        with images.opened(name) as image:
            image.remove_snap(images.snapshots(name)[0])
        with opened(images.source(name)) as point:
            assert "no longer has the snapshot of the parent" in str(point.changed_since(parent).reason)

    def test_a_point_that_failed_leaves_nothing(self, images: Images) -> None:
        name = images.create(CONTENT)
        with opened(images.source(name)) as point:
            point.rollback()
        assert images.snapshots(name) == []


class TestChanges:
    def test_100_dirty_blocks_of_a_tebibyte_are_found(self, images: Images) -> None:
        name = images.create(size_bytes=2**40, features=FAST, order=22)
        chance = random.Random(1)
        written = [Extent(number * 2**22, OBJECT_BYTES) for number in chance.sample(range(2**18), 100)]
        parent = committed(images.source(name))
        with images.opened(name) as image:
            for extent in written:
                image.write(b"\xa5" * extent.length_bytes, extent.offset_bytes)
        with opened(images.source(name)) as point:
            assert point.changed_since(parent).extents == merge(written)
            assert sum(extent.length_bytes for extent in point.data_extents(Extent(0, 2**40))) == 100 * 2**22

    @pytest.mark.parametrize("seed", range(4))
    def test_any_history_adds_up_to_the_image(self, images: Images, seed: int) -> None:
        chance = random.Random(seed)
        name = images.create(CONTENT, features=FAST)
        if seed % 2:
            name = images.clone(name)
        parent, content = committed(images.source(name)), CONTENT
        for _ in range(8):
            for _ in range(chance.randrange(5)):
                disturb(images, name, chance)
            with opened(images.source(name)) as point:
                content = told(point, parent, content)
                assert content == images.read(name)
                assert data_of(point) == content
                parent = parent_of(point)
                point.commit()

    def test_an_image_that_was_rolled_back_has_changed(self, images: Images) -> None:
        name = images.create(CONTENT)
        with images.opened(name) as image:
            image.create_snap("before")
        images.write(name, OBJECT_BYTES, b"later")
        parent = committed(images.source(name))
        with images.opened(name) as image:
            image.rollback_to_snap("before")
        with opened(images.source(name)) as point:
            assert_covers(point, parent, Extent(OBJECT_BYTES, 5))
            assert read(point, WHOLE) == CONTENT

    def test_what_the_image_lost_between_snapshots_of_others_is_told(self, images: Images) -> None:
        name = images.create(CONTENT)
        parent = committed(images.source(name))
        for size_bytes in (OBJECT_BYTES, len(CONTENT)):
            images.resize(name, size_bytes)
            with images.opened(name) as image:
                image.create_snap(f"at-{size_bytes}")
        with opened(images.source(name)) as point:
            assert_covers(point, parent, Extent(OBJECT_BYTES, len(CONTENT) - OBJECT_BYTES))

    @pytest.mark.parametrize("features", [FAST, LAYERING])
    def test_a_discard_hides_what_a_clone_has_of_its_parent(self, images: Images, features: int) -> None:
        clone = images.clone(images.create(CONTENT, features=features), features=features)
        parent = committed(images.source(clone))
        images.discard(clone, Extent(OBJECT_BYTES, 3 * OBJECT_BYTES))
        images.write(clone, 6 * OBJECT_BYTES + 5, b"own")
        with opened(images.source(clone)) as point:
            assert_covers(point, parent, Extent(OBJECT_BYTES, 3 * OBJECT_BYTES), Extent(6 * OBJECT_BYTES + 5, 3))
            assert read(point, WHOLE) == images.read(clone) != CONTENT

    def test_a_map_of_objects_that_is_not_valid_is_not_used(self, images: Images) -> None:
        name = images.create(CONTENT, features=LAYERING)
        parent = committed(images.source(name))
        with images.opened(name) as image:
            image.update_features(FAST & ~LAYERING, True)  # Nobody has built the map yet.
            assert image.flags()
        images.write(name, 5, b"changed")
        with opened(images.source(name)) as point:
            assert_covers(point, parent, Extent(5, 7))
            assert tuple(point.data_extents(WHOLE)) == (WHOLE,)

    def test_the_map_of_objects_need_not_be_used(self, images: Images) -> None:
        name = images.create(CONTENT)
        parent = committed(images.source(name, fast_diff=False))
        images.write(name, 3 * OBJECT_BYTES, b"changed")
        with opened(images.source(name, fast_diff=False)) as point:
            assert_covers(point, parent, Extent(3 * OBJECT_BYTES, 7))

    def test_a_machine_that_holds_the_lock_goes_on_writing(self, images: Images) -> None:
        name = images.create(CONTENT)
        with images.opened(name) as guest:
            guest.lock_acquire(0)  # Exclusive: it is not given away, so the snapshots are made by its holder.
            guest.write(b"before", 0)
            parent = committed(images.source(name))
            guest.write(b"after", OBJECT_BYTES)
            with opened(images.source(name)) as point:
                guest.write(b"later", 0)
                assert_covers(point, parent, Extent(OBJECT_BYTES, 5))
                assert read(point, Extent(0, 6)) == b"before"
                point.commit()


class TestFaults:
    def test_a_cluster_that_hangs_fails_reads_in_time_and_can_be_let_go(self, ceph: Ceph, images: Images) -> None:
        source = images.source(images.create(CONTENT), timeout_s=2)
        with opened(source) as point:
            ceph.osd.pause()
            try:
                with pytest.raises(SourceUnreadable, match="cannot be read at byte 0: connection timed out"):
                    read(point, WHOLE)
            finally:
                ceph.osd.resume()
            assert read(point, WHOLE) == CONTENT

    @pytest.mark.parametrize(
        ("address", "expected", "message"),
        [
            ("rbd:elsewhere/image", SourceMissing, "pool elsewhere cannot be used: no such file"),
            (f"rbd:{POOL}/nobody/image", SourceMissing, "a snapshot cannot be made: no such file"),
        ],
    )
    def test_what_does_not_exist_is_named(
        self, images: Images, address: str, expected: type[Exception], message: str
    ) -> None:
        options = {"pools": ["elsewhere", f"{POOL}/nobody"], "conf": str(images.ceph.conf)}
        with pytest.raises(expected, match=message):
            Sources({"rbd": options}).open(address).open()

    def test_a_user_who_may_not_is_refused(self, ceph: Ceph, images: Images) -> None:
        name = images.create(CONTENT)
        keyring = ceph.add_user("reader", mon="profile rbd", osd=f"profile rbd-read-only pool={POOL}")
        with pytest.raises(SourceUnreadable, match=r"operation not permitted|permission denied"):
            images.source(name, user="reader", keyring=str(keyring)).open()
        assert images.snapshots(name) == []

    def test_a_user_with_the_profile_of_the_page_may(self, ceph: Ceph, images: Images) -> None:
        keyring = ceph.add_user("backupd", mon="profile rbd", osd=f"profile rbd pool={POOL}")
        name = images.create(CONTENT)
        parent = committed(images.source(name, user="backupd", keyring=str(keyring)))
        with opened(images.source(name, user="backupd", keyring=str(keyring))) as point:
            assert point.changed_since(parent).extents == ()

    def test_a_keyring_that_is_missing_is_no_missing_volume(self, images: Images, tmp_path: Path) -> None:
        source = images.source(images.create(CONTENT), keyring=str(tmp_path / "nothing"))
        with pytest.raises(SourceUnreadable, match="the cluster cannot be reached"):
            source.open()

    def test_an_image_of_a_pool_that_is_not_allowed_is_refused(self, images: Images) -> None:
        options: dict[str, Any] = {"pools": ["volumes"], "conf": str(images.ceph.conf)}
        with pytest.raises(InvalidAddress, match="expected an image of volumes"):
            Sources({"rbd": options}).check(f"rbd:{POOL}/image")
