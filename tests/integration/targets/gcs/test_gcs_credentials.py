"""Google Cloud Storage: tokens, keys, and what is imported."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from targets.base import Target
from targets.errors import Misconfigured, PermissionDenied, Unavailable
from targets.open import open_target
from tests.support.gcs_targets import with_key
from tests.support.servers.gcs_service import Fault, GcsService


class TestTokens:
    async def test_token_is_fetched_once_for_many_requests(self, service: GcsService, target: Target) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(target.put(f"key-{number}", b"content"))
        assert service.tokens.given == 1

    async def test_expired_token_is_replaced_once_for_many_requests(self, service: GcsService, target: Target) -> None:
        await target.put("key", b"content")
        service.tokens.expire_all()
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(target.get("key"))
        assert service.tokens.given == 2

    async def test_token_is_replaced_ahead_of_its_expiry(self, service: GcsService, target: Target) -> None:
        service.tokens.expires_in_s = 60  # Less than the time ahead.
        await target.put("key", b"content")
        service.tokens.expires_in_s = 3600
        while service.tokens.given < 2:
            await target.get("key")
        assert 401 not in service.statuses

    async def test_early_replacement_that_fails_hurts_no_request(self, service: GcsService, target: Target) -> None:
        service.tokens.expires_in_s = 60
        await target.put("key", b"content")
        service.tokens.refuses = (400, {"error": "invalid_grant", "error_description": "gone"})
        while not service.tokens.refused:
            await target.get("key")
        for _ in range(20):
            await target.get("key")
        assert service.tokens.refused == 1

    async def test_account_that_is_refused_is_no_permission(self, service: GcsService, target: Target) -> None:
        service.tokens.refuses = (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        with pytest.raises(PermissionDenied, match="token: refused: invalid_grant: Invalid JWT Signature"):
            await target.get("key")

    async def test_token_that_is_refused_again_and_again_is_no_permission(
        self, service: GcsService, target: Target
    ) -> None:
        service.faults.append(Fault(status=401, reason="authError", times=1000))
        with pytest.raises(PermissionDenied, match="401"):
            await target.get("key")
        assert len(service.requests) == 2

    async def test_token_endpoint_that_is_down_may_come_back(self, service: GcsService, tmp_path: Path) -> None:
        service.tokens.url = "http://127.0.0.1:9/token"
        async with aclosing(with_key(service, tmp_path)) as target:
            with pytest.raises(Unavailable, match="token"):
                await target.get("key")

    async def test_caller_that_leaves_does_not_take_the_token_of_others(
        self, service: GcsService, target: Target
    ) -> None:
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(target.put("a", b"content"))
            staying = group.create_task(target.put("b", b"content"))
            await asyncio.sleep(0)
            leaving.cancel()
        await staying
        assert [*service.bucket("bucket").objects] == ["backups/b"]


class TestDefaultCredentials:
    """As on a machine of Google's, or after a login; found through the environment."""

    async def test_they_are_used_where_no_key_is_given(self, service: GcsService, tmp_path: Path) -> None:
        key = service.tokens.write_key_file(tmp_path / "key.json")
        assert await put_elsewhere(service, {"GOOGLE_APPLICATION_CREDENTIALS": str(key)}) == "stored"
        assert [*service.bucket("bucket").objects] == ["key"]

    async def test_where_there_are_none_the_options_are_named(self, service: GcsService, tmp_path: Path) -> None:
        told = await put_elsewhere(service, {"NO_GCE_CHECK": "true", "HOME": str(tmp_path)})
        assert told.startswith("Misconfigured application default credentials: ")
        assert told.endswith("or the option credentials_file or anonymous")

    async def test_file_that_is_no_file_is_named(self, service: GcsService, tmp_path: Path) -> None:
        told = await put_elsewhere(service, {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path)})
        assert told == f"Misconfigured application default credentials: {tmp_path}: Is a directory"


async def put_elsewhere(service: GcsService, environment: dict[str, str]) -> str:
    """Return what a process in that environment says after it stored an object."""
    code = (
        "import asyncio; from targets.open import open_target\n"
        "async def main():\n"
        f"    target = open_target('gs://bucket', endpoint='{service.endpoint}')\n"
        "    try: await target.put('key', b'content'); print('stored')\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
        "    await target.aclose()\n"
        "asyncio.run(main())"
    )
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), env=environment, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await child.communicate()
    return told.decode().strip()


class TestSecrets:
    async def test_neither_key_nor_token_is_ever_told(
        self, service: GcsService, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        async with aclosing(with_key(service, tmp_path)) as target:
            told = [repr(target), str(target.__dict__)]
            await target.put("key", b"content")
            service.faults = [Fault(status=401, reason="authError", times=4), Fault(status=403, reason="forbidden")]
            for _ in range(3):
                with pytest.raises(PermissionDenied) as caught:
                    await target.get("key")
                told += [repr(caught.value), str(caught.value.__cause__), str(caught.value.__context__)]
        private = (tmp_path / "key.json").read_text().split("\\n")[1]
        told += [caplog.text]
        assert "ya29" not in "".join(told)
        assert private not in "".join(told)

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (None, "No such file"),
            ("no json", "is no JSON"),
            ('{"type": "authorized_user"}', "holds 'authorized_user'"),
            ('{"type": "service_account", "private_key": "hunter2"}', "not a whole service account key"),
            ("[]", "holds 'list'"),
        ],
    )
    def test_key_file_that_is_none_is_named_and_not_shown(
        self, tmp_path: Path, content: str | None, expected: str
    ) -> None:
        path = tmp_path / "key.json"
        if content is not None:
            path.write_text(content)
        with pytest.raises(Misconfigured, match=f"option credentials_file: .*key.json.*{expected}") as caught:
            open_target("gs://bucket", credentials_file=str(path))
        assert "hunter2" not in f"{caught.value!r}{caught.value.__cause__}"


class TestImports:
    def test_nothing_of_google_is_imported_for_other_targets(self) -> None:
        code = "import sys, targets.open; targets.open.open_target('memory:'); print('google' in sys.modules)"
        assert run(code) == "False"

    def test_missing_library_tells_what_to_install(self) -> None:
        code = (
            "import sys; sys.modules['google_crc32c'] = None\n"
            "from targets.open import open_target\n"
            "try: open_target('gs://bucket', anonymous=True)\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        assert run(code) == "Misconfigured target url: gs needs google_crc32c: pip install 'backupd[gcs]'"

    async def test_missing_storage_library_tells_what_to_install_when_a_bucket_is_to_be_made(
        self, service: GcsService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "google.api_core.exceptions", None)  # It comes with that library.
        monkeypatch.delitem(sys.modules, "targets.gcs.bucket", raising=False)
        del service.buckets["bucket"]
        async with aclosing(
            with_key(service, tmp_path, create_bucket=True, project="project", location="EU")
        ) as target:
            with pytest.raises(Misconfigured, match=r"option create_bucket: needs google-cloud-storage: pip"):
                await target.put("key", b"content")

    def test_storage_library_is_imported_only_to_make_a_bucket(self) -> None:
        code = (
            "import sys; from targets.open import open_target; open_target('gs://bucket', anonymous=True)\n"
            "print('google.cloud.storage' in sys.modules)"
        )
        assert run(code) == "False"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()
