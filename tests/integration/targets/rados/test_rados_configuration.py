"""What an operator gets wrong, and what the least rights of a user of the cluster are."""

from __future__ import annotations

from pathlib import Path

import pytest

from targets.errors import (
    Misconfigured,
    PermissionDenied,
    QuotaExceeded,
)
from targets.open import open_target
from targets.rados import Namespace, RadosOptions, RadosTarget
from targets.testing import keys
from tests.support.rados_targets import KIB, LARGE, PART_BYTES
from tests.support.servers.ceph import POOL, Ceph


@pytest.fixture
def namespace(ceph: Ceph) -> str:
    return ceph.namespace()


async def test_url_opens_a_namespace_of_a_pool(ceph: Ceph, namespace: str) -> None:
    target = open_target(f"rados://{POOL}/{namespace}", conf=str(ceph.conf))
    await target.put("key", b"content")
    await target.aclose()
    assert ceph.names(namespace) == ["key"]


@pytest.mark.parametrize("url", ["rados:", "rados:///n", "rados://pool/a/b", "rados:pool", "rados://pool/a%00"])
def test_url_that_says_something_else_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="expected rados://POOL"):
        open_target(url)


def test_absent_pool_is_told(ceph: Ceph) -> None:
    with pytest.raises(Misconfigured, match="pool absent does not exist"):
        open_target("rados://absent", conf=str(ceph.conf))


@pytest.mark.usefixtures("ceph")
def test_absent_configuration_is_told() -> None:
    with pytest.raises(Misconfigured, match=r"option conf: /absent/ceph\.conf: no such file"):
        open_target(f"rados://{POOL}", conf="/absent/ceph.conf")


@pytest.mark.usefixtures("ceph")
def test_configuration_without_monitors_is_told(tmp_path: Path) -> None:
    (tmp_path / "ceph.conf").write_text("[global]\n")
    with pytest.raises(Misconfigured, match=r"connecting .*ceph\.conf: .*\n.*must name the monitors"):
        open_target(f"rados://{POOL}", conf=str(tmp_path / "ceph.conf"))


@pytest.mark.usefixtures("ceph")
def test_garbled_configuration_is_told(tmp_path: Path) -> None:
    (tmp_path / "ceph.conf").write_text("[global\nfsid\n")
    with pytest.raises(Misconfigured, match=r"option conf: .*ceph\.conf: it cannot be parsed"):
        open_target(f"rados://{POOL}", conf=str(tmp_path / "ceph.conf"))


def test_absent_keyring_is_told(ceph: Ceph) -> None:
    with pytest.raises(Misconfigured, match=r"option keyring: /absent/keyring: no such file"):
        open_target(f"rados://{POOL}", conf=str(ceph.conf), keyring="/absent/keyring")


def test_user_without_a_key_is_told(ceph: Ceph, tmp_path: Path) -> None:
    without_keyring = tmp_path / "ceph.conf"
    without_keyring.write_text(ceph.conf.read_text().replace(f"keyring = {ceph.directory}/keyring", ""))
    for conf in (ceph.conf, without_keyring):
        with pytest.raises(PermissionDenied, match=r"client\.nobody.*\n.*must hold the key of client\.nobody"):
            open_target(f"rados://{POOL}", conf=str(conf), user="nobody")


def test_wrong_key_is_refused(ceph: Ceph) -> None:
    keyring = ceph.add_user("forged", mon="allow r", osd="allow rw")
    other = ceph.add_user("other", mon="allow r", osd="allow rw")
    key = other.read_text().split("key = ")[1]
    keyring.write_text(f"[client.forged]\nkey = {key}\n")
    with pytest.raises(PermissionDenied, match=r"connecting as client\.forged") as caught:
        open_target(f"rados://{POOL}", conf=str(ceph.conf), user="forged", keyring=str(keyring))
    assert key.strip() not in str(caught.value)


async def test_user_of_one_namespace_can_use_that_and_no_other(ceph: Ceph, namespace: str) -> None:
    keyring = ceph.add_user("least", mon="allow r", osd=f"allow rw pool={POOL} namespace={namespace}")
    options = RadosOptions(conf=str(ceph.conf), user="least", keyring=str(keyring), part_bytes=PART_BYTES)
    target = RadosTarget(Namespace(POOL, namespace), options)
    await target.put("key", LARGE)
    await target.put("key", b"content")
    await target.put("absent", b"content", if_absent=True)
    assert await target.get("key") == b"content"
    assert await keys(target) == ["absent", "key"]
    await target.delete("key")
    await target.aclose()
    target = RadosTarget(Namespace(POOL, ceph.namespace()), options)
    for operation in (target.get("key"), target.head("key"), target.put("key", b""), target.delete("key")):
        with pytest.raises(PermissionDenied, match="operation not permitted"):
            await operation
    with pytest.raises(PermissionDenied):
        await keys(target)
    await target.aclose()


async def test_object_size_that_the_cluster_refuses_is_told_with_the_option(ceph: Ceph) -> None:
    ceph.command("config", "set", "osd", "osd_max_write_size", "4")
    try:
        target = RadosTarget(Namespace(POOL, ceph.namespace()), RadosOptions(conf=str(ceph.conf)))
        with pytest.raises(QuotaExceeded, match=r"option part_bytes must not exceed .* osd_max_write_size"):
            await target.put("key", bytes(5 * KIB * KIB))
        await target.aclose()
    finally:
        ceph.command("config", "rm", "osd", "osd_max_write_size")


async def test_limit_that_the_configuration_tells_is_heeded(ceph: Ceph, namespace: str, tmp_path: Path) -> None:
    conf = tmp_path / "ceph.conf"
    conf.write_text(f"{ceph.conf.read_text()}\n[client]\nosd max write size = 4\n")
    target = RadosTarget(Namespace(POOL, namespace), RadosOptions(conf=str(conf)))
    await target.put("key", bytes(4 * KIB * KIB))
    assert await target.get("key") == bytes(4 * KIB * KIB)
    await target.aclose()
    assert len(ceph.names(namespace)) == 3
