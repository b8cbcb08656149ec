"""Google Cloud Storage: what the service, the network and the operator may do to us."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from targets.base import Target
from targets.errors import (
    Final,
    Misconfigured,
    ObjectExists,
    ObjectNotFound,
    PermissionDenied,
    QuotaExceeded,
    TargetError,
    TargetGone,
    Throttled,
    TimedOut,
    Unavailable,
    Unsupported,
)
from targets.open import open_target
from targets.wrappers.retry import Retry
from tests.support.gcs_targets import with_key
from tests.support.servers.garbling import garbling_proxy
from tests.support.servers.gcs import GcsEmulator, fake_gcs_server
from tests.support.servers.gcs_service import Fault, GcsService
from tests.support.servers.process import in_thread

BODY = bytes(range(256)) * 8192  # 2 MiB: its checksum is computed in a thread.


def held() -> tuple[int, int, int]:
    """Return how many descriptors, threads and tasks there are."""
    return len([*Path("/proc/self/fd").iterdir()]), threading.active_count(), len(asyncio.all_tasks())


async def next_turn(_: float) -> None:
    await asyncio.sleep(0)


def retried(target: Target, *, timeout_s: float = 30) -> Target:
    return Retry(target, retries_max=5, timeout_s=timeout_s, sleep=next_turn)


class TestChecksums:
    async def test_upload_that_arrives_garbled_is_refused_and_not_stored(
        self, service: GcsService, target: Target
    ) -> None:
        service.garbles = "uploads"
        with pytest.raises(Unavailable, match=r"key: the service answered 400 .*arrived garbled"):
            await target.put("key", BODY)
        assert service.bucket("bucket").objects == {}

    async def test_garbled_upload_to_the_emulator_is_refused_too(self, gcs_emulator: GcsEmulator) -> None:
        url, given = f"gs://{gcs_emulator.new_bucket()}", {"anonymous": True, "conditional_put": False}
        async with (
            garbling_proxy(gcs_emulator.endpoint, sent=b"content of", arrived=b"CONTENT of") as endpoint,
            aclosing(open_target(url, endpoint=endpoint, **given)) as target,
        ):
            with pytest.raises(Unavailable, match="garbled"):
                await target.put("key", b"content of the object")
            assert [info async for info in target.list("")] == []

    @pytest.mark.parametrize("body", [b"short", BODY])
    async def test_download_that_arrives_garbled_is_noticed(
        self, service: GcsService, target: Target, body: bytes
    ) -> None:
        await target.put("key", body)
        service.garbles = "downloads"
        with pytest.raises(Unavailable, match="arrived garbled"):
            await target.get("key")
        with pytest.raises(Unavailable, match="arrived garbled"):
            await target.get_into("key", bytearray(len(body)))
        service.garbles = ""
        assert await target.get("key") == body

    async def test_server_that_compares_nothing_is_found_out(self, fake_gcs: GcsEmulator) -> None:
        url = f"gs://{fake_gcs.new_bucket()}"
        async with (
            garbling_proxy(fake_gcs.endpoint, sent=b"content of", arrived=b"CONTENT of") as endpoint,
            aclosing(open_target(url, endpoint=endpoint, anonymous=True)) as target,
        ):
            with pytest.raises(Unavailable, match=r"stored with crc32c .* garbled"):
                await target.put("key", b"content of the object")


class TestDeletions:
    async def test_hundred_keys_take_one_request(self, service: GcsService, target: Target) -> None:
        keys = [f"packs/{number}" for number in range(250)]
        for key in keys[:3]:
            await target.put(key, b"content")
        del service.requests[:]
        await target.delete_many(keys)
        assert [path for _, path in service.requests if "batch" in path] == ["/batch/storage/v1"] * 3
        assert service.bucket("bucket").objects == {}

    async def test_one_object_that_is_held_does_not_keep_the_others(self, service: GcsService, target: Target) -> None:
        for key in ("a", "b", "c"):
            await target.put(key, b"content")
        service.bucket("bucket").held.add("backups/b")
        with pytest.raises(PermissionDenied, match=r"delete b: .*objectUnderActiveHold") as caught:
            await target.delete_many(["a", "b", "c"])
        assert caught.value.__notes__ == ["1 of 3 keys were not deleted"]
        assert [*service.bucket("bucket").objects] == ["backups/b"]

    async def test_server_without_batches_gets_single_requests(self, service: GcsService, target: Target) -> None:
        service.has_batches = False
        keys = [f"packs/{number}" for number in range(20)]
        for key in keys:
            await target.put(key, b"content")
        await target.delete_many(keys)
        await target.delete_many(keys)
        assert service.bucket("bucket").objects == {}
        assert [path for _, path in service.requests].count("/batch/storage/v1") == 1

    async def test_single_deletions_tell_what_was_refused(self, service: GcsService, target: Target) -> None:
        service.has_batches = False
        for key in ("a", "b"):
            await target.put(key, b"content")
        service.bucket("bucket").retained.add("backups/a")
        with pytest.raises(PermissionDenied, match=r"delete a: .*retentionPolicyNotMet"):
            await target.delete_many(["a", "b"])
        assert [*service.bucket("bucket").objects] == ["backups/a"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "reason", "error"),
        [
            (400, "invalid", Final),
            (400, "userProjectMissing", Misconfigured),
            (403, "forbidden", PermissionDenied),
            (403, "insufficientPermissions", PermissionDenied),
            (403, "accountDisabled", PermissionDenied),
            (403, "rateLimitExceeded", Throttled),
            (403, "userRateLimitExceeded", Throttled),
            (403, "quotaExceeded", QuotaExceeded),
            (408, "timeout", TimedOut),
            (412, "orgPolicyConstraintFailed", PermissionDenied),
            (413, "uploadTooLarge", QuotaExceeded),
            (429, "rateLimitExceeded", Throttled),
            (500, "internalError", Unavailable),
            (501, "notImplemented", Unsupported),
            (502, "", Unavailable),
            (503, "backendError", Unavailable),
            (504, "gatewayTimeout", TimedOut),
            (302, "", Misconfigured),
        ],
    )
    async def test_refusal_becomes_the_error_it_means(
        self, service: GcsService, target: Target, status: int, reason: str, error: type[TargetError]
    ) -> None:
        for operation in (
            lambda: target.put("key", b"content", if_absent=True),
            lambda: target.head("key"),
            lambda: target.delete("key"),
            lambda: anext(aiter(target.list(""))),
        ):
            service.faults = [Fault(status=status, reason=reason)]
            with pytest.raises(TargetError) as caught:
                await operation()
            assert type(caught.value) is error

    @pytest.mark.parametrize(("status", "error"), [(403, PermissionDenied), (429, Throttled), (503, Unavailable)])
    async def test_refusal_of_content_tells_no_reason(
        self, service: GcsService, target: Target, status: int, error: type[TargetError]
    ) -> None:
        service.faults = [Fault(status=status)]
        with pytest.raises(error, match=rf"get key: the service answered {status}: Injected"):
            await target.get("key")

    @pytest.mark.parametrize(
        ("status", "reason", "error"),
        [(400, "invalid", Final), (403, "forbidden", PermissionDenied), (429, "", Throttled), (503, "", Unavailable)],
    )
    async def test_refusal_of_a_batch_is_not_taken_for_a_server_without(
        self, service: GcsService, target: Target, status: int, reason: str, error: type[TargetError]
    ) -> None:
        service.faults = [Fault(status=status, reason=reason)]
        with pytest.raises(error, match=f"delete 2 keys: the service answered {status}"):
            await target.delete_many(["a", "b"])
        assert len(service.requests) == 1

    async def test_missing_bucket_is_never_a_missing_object(self, service: GcsService, target: Target) -> None:
        await target.put("key", b"content")
        del service.buckets["bucket"]
        for operation in (
            lambda: target.put("key", b"content", if_absent=True),
            lambda: target.get("key"),
            lambda: target.get_into("key", bytearray(1)),
            lambda: target.head("key"),
            lambda: target.delete("key"),
            lambda: target.delete_many(["key", "other"]),
            lambda: anext(aiter(target.list(""))),
        ):
            with pytest.raises(TargetGone, match="there is no bucket bucket"):
                await operation()

    @pytest.mark.parametrize("server", ["fake_gcs", "gcs_emulator"])
    async def test_missing_bucket_of_an_emulator_is_told_too(self, server: str, request: pytest.FixtureRequest) -> None:
        emulator: GcsEmulator = request.getfixturevalue(server)
        async with aclosing(open_target("gs://never-made", endpoint=emulator.endpoint, anonymous=True)) as target:
            for operation in (lambda: target.get("key"), lambda: target.head("key"), lambda: target.put("key", b"")):
                with pytest.raises(TargetGone):
                    await operation()

    async def test_object_that_must_be_kept_is_not_replaced(self, service: GcsService, target: Target) -> None:
        await target.put("key", b"content")
        service.bucket("bucket").retained.add("backups/key")
        with pytest.raises(PermissionDenied, match="retentionPolicyNotMet"):
            await target.put("key", b"other")
        assert await target.get("key") == b"content"

    async def test_what_others_keep_in_the_bucket_is_not_listed(self, service: GcsService, target: Target) -> None:
        for name in ("backups/A", "backups/", "other/key", "backups/.tmp/x"):
            service.bucket("bucket").insert({"name": name}, b"", if_generation_match=None)
        await target.put("key", b"content")
        assert [info.key async for info in target.list("")] == ["key"]


class TestBucket:
    async def test_missing_bucket_is_made_if_that_is_wanted(self, service: GcsService, tmp_path: Path) -> None:
        del service.buckets["bucket"]
        async with (
            aclosing(
                with_key(service, tmp_path, create_bucket=True, project="project", location="EUROPE-WEST1")
            ) as target,
            asyncio.TaskGroup() as group,
        ):
            for number in range(4):
                group.create_task(target.put(f"key-{number}", b"content"))
        made = service.bucket("bucket")
        assert len(made.objects) == 4
        assert (made.metadata["location"], made.metadata["project"]) == ("EUROPE-WEST1", "project")
        assert made.metadata["iamConfiguration"]["publicAccessPrevention"] == "enforced"
        assert made.metadata["iamConfiguration"]["uniformBucketLevelAccess"] == {"enabled": True}

    async def test_bucket_that_is_there_is_taken_as_it_is(self, service: GcsService, tmp_path: Path) -> None:
        async with aclosing(
            with_key(service, tmp_path, create_bucket=True, project="project", location="EU")
        ) as target:
            await target.put("key", b"content")
        assert ("POST", "/storage/v1/b") not in service.requests

    async def test_bucket_that_may_not_be_made_is_no_permission(self, service: GcsService, tmp_path: Path) -> None:
        del service.buckets["bucket"]
        service.faults.append(Fault(status=403, reason="forbidden", method="POST", times=9))
        async with aclosing(
            with_key(service, tmp_path, create_bucket=True, project="project", location="EU")
        ) as target:
            with pytest.raises(PermissionDenied, match=r"create bucket bucket: .*403 forbidden"):
                await target.head("key")

    async def test_storage_class_and_key_are_sent_with_each_object(self, service: GcsService, tmp_path: Path) -> None:
        name = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
        async with aclosing(with_key(service, tmp_path, storage_class="NEARLINE", kms_key_name=name)) as target:
            await target.put("key", b"content")
        stored = service.bucket("bucket").objects["backups/key"].metadata
        assert (stored["storageClass"], stored["kmsKeyName"]) == ("NEARLINE", name)


class TestConnections:
    async def test_upload_that_is_cut_off_is_stored_whole_by_the_next_attempt(
        self, service: GcsService, target: Target
    ) -> None:
        service.faults.append(Fault(method="POST", breaks=True, times=2))
        with pytest.raises(Unavailable):
            await target.put("key", BODY, if_absent=True)
        assert service.bucket("bucket").objects == {}
        await retried(target).put("key", BODY, if_absent=True)
        assert await target.get("key") == BODY

    async def test_server_that_hangs_is_given_up_and_after_its_death_and_restart_the_put_ends_right(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> None:
        server = fake_gcs_server(request.config, tmp_path, backend="filesystem")
        await in_thread(server.start)
        try:
            url = f"gs://{server.new_bucket()}"
            async with aclosing(open_target(url, endpoint=server.endpoint, anonymous=True)) as bare:
                errors = []

                async def restart(_: float) -> None:
                    errors.append(1)
                    await in_thread(server.kill)
                    await in_thread(server.start)

                await bare.put("before", b"content")
                server.pause()
                with pytest.raises(TimedOut):
                    await Retry(bare, retries_max=0, timeout_s=0.5).put("key", BODY, if_absent=True)
                target = Retry(bare, retries_max=5, timeout_s=1, sleep=restart)
                await target.put("key", BODY, if_absent=True)
                assert errors
                assert await target.get("key") == BODY
                assert await target.get("before") == b"content"
        finally:
            await in_thread(server.kill)

    async def test_one_connection_is_enough_for_everything(self, service: GcsService, tmp_path: Path) -> None:
        async with aclosing(with_key(service, tmp_path, connections_max=1)) as target:
            async with asyncio.TaskGroup() as group:
                for number in range(4):
                    group.create_task(target.put(f"key-{number}", b"content"))
            service.tokens.expire_all()
            service.has_batches = False
            with pytest.raises(ObjectNotFound):
                await target.get("absent")
            with pytest.raises(ObjectNotFound):
                await target.head("absent")
            await target.delete("absent")
            async for info in target.list(""):
                await target.delete_many([info.key, "absent"])
            assert service.bucket("bucket").objects == {}

    async def test_server_that_is_not_there_may_come_back(self) -> None:
        async with aclosing(open_target("gs://bucket", endpoint="http://127.0.0.1:9", anonymous=True)) as target:
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
                await target.get("key")

    async def test_of_many_clients_one_takes_a_key(self, fake_gcs: GcsEmulator) -> None:
        url = f"gs://{fake_gcs.new_bucket()}/backups"
        lost = []

        async def write(target: Target) -> None:
            try:
                await target.put("key", BODY, if_absent=True)
            except ObjectExists:
                lost.append(target)

        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for _ in range(8):
                target = open_target(url, endpoint=fake_gcs.endpoint, anonymous=True)
                group.create_task(write(await stack.enter_async_context(aclosing(target))))
        assert len(lost) == 7

    async def test_nothing_is_left_of_a_target_that_was_closed(self, service: GcsService, tmp_path: Path) -> None:
        before = held()
        for _ in range(3):
            async with aclosing(with_key(service, tmp_path)) as target, asyncio.TaskGroup() as group:
                for number in range(4):
                    group.create_task(target.put(f"key-{number}", BODY))
            await service.idle()
        assert held() == before
