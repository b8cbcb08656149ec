"""``/v3`` behind a real Keystone: who is let in, and the functional tests that the clients' own wheels bring."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from backupd.clock import SystemClock
from tests.support.clients import run
from tests.support.daemon import Daemon, Place, serving
from tests.support.servers.keystone import REGION, Keystone
from tests.support.servers.process import free_port
from tests.support.servers.swift_conf import KEYSTONE_PASSWORD, KEYSTONE_USER

pytestmark = pytest.mark.timeout(170)

_CACHE_S = 0.5
_MORE = """
[backup_types.standard]
target = "local"
[policy]
default_backup_type = "standard"
[block_storage]
volumes_dir = "{{root}}/volumes"
[auth]
strategy = "keystone"
keystone_url = "{url}"
keystone_user = "{user}"
keystone_password_file = "{{root}}/password"
token_cache_s = {cache_s}
"""
_ADMIN = ("admin", "admin-of-the-tests", "admin")


@asynccontextmanager
async def guarded(root: Path, url: str) -> AsyncIterator[Daemon]:
    """Run a daemon that asks the Keystone at ``url``."""
    (root / "password").write_text(KEYSTONE_PASSWORD)
    (root / "password").chmod(0o600)
    more = _MORE.format(url=url, user=KEYSTONE_USER, cache_s=_CACHE_S)
    async with serving(Place(root, more=more)) as daemon:
        yield daemon


async def ask(daemon: Daemon, method: str, path: str, token: str | None, body: Any = None) -> tuple[int, Any, Any]:
    """Return status, document and headers."""
    headers = {"X-Auth-Token": token} if token else {}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, daemon.url + path, headers=headers, json=body) as response,
    ):
        return response.status, await response.json(content_type=None), response.headers


async def test_a_token_says_who_asks_and_what_he_may(tmp_path: Path, keystone: Keystone) -> None:
    member, reader, other = (keystone.add_user(role=role) for role in ("member", "reader", "member"))
    async with guarded(tmp_path, keystone.url) as daemon:
        status, body, headers = await ask(daemon, "GET", "/v3/backups", None)
        assert (status, body["error"]["code"]) == (401, 401)
        assert headers["WWW-Authenticate"].startswith("Keystone uri=")
        assert (await ask(daemon, "GET", "/v3/backups", "no-token-at-all"))[0] == 401
        assert (await ask(daemon, "GET", "/", None))[0] == 300

        token = keystone.token(*member)
        project_id = keystone.ids(*member)[0]
        status, made, _ = await ask(daemon, "POST", "/v3/volumes", token, {"volume": {"size": 1}})
        assert status == 202
        path = f"/v3/volumes/{made['volume']['id']}"
        status, found, _ = await ask(daemon, "GET", f"/v3/{project_id}/volumes/{made['volume']['id']}", token)
        assert (status, found["volume"]["os-vol-tenant-attr:tenant_id"]) == (200, project_id)
        assert "os-vol-host-attr:host" not in found["volume"]

        assert (await ask(daemon, "GET", path, keystone.token(*other)))[0] == 404
        assert (await ask(daemon, "GET", path, keystone.token(*_ADMIN)))[0] == 200
        reading = keystone.token(*reader)
        assert (await ask(daemon, "GET", "/v3/volumes", reading))[0] == 200
        status, refused, _ = await ask(daemon, "POST", "/v3/volumes", reading, {"volume": {"size": 1}})
        assert (status, refused["forbidden"]["message"]) == (
            403,
            "Policy doesn't allow volume:create to be performed.",
        )
        assert (await ask(daemon, "GET", "/v1/backups", token))[0] == 200
        volume = {"name": "x", "path": "/etc/passwd"}
        assert (await ask(daemon, "POST", "/v1/volumes", token, volume))[0] == 403


async def test_a_token_that_was_revoked_is_refused_within_the_time_that_it_is_remembered(
    tmp_path: Path, keystone: Keystone
) -> None:
    token = keystone.token(*keystone.add_user())
    clock = SystemClock()
    async with guarded(tmp_path, keystone.url) as daemon:
        assert (await ask(daemon, "GET", "/v3/backups", token))[0] == 200
        keystone.revoke(token)
        await clock.sleep(_CACHE_S)
        assert (await ask(daemon, "GET", "/v3/backups", token))[0] == 401


async def test_while_keystone_is_away_requests_are_503(tmp_path: Path, keystone: Keystone) -> None:
    token = keystone.token(*keystone.add_user())
    async with guarded(tmp_path, f"http://127.0.0.1:{free_port()}/v3") as daemon:
        status, body, _ = await ask(daemon, "GET", "/v3/backups", token)
        assert (status, body["serviceUnavailable"]["code"]) == (503, 503)
        assert (await ask(daemon, "GET", "/healthz", None))[0] == 200


async def test_the_own_token_is_renewed_when_keystone_has_forgotten_it(tmp_path: Path, keystone: Keystone) -> None:
    user = keystone.add_user()
    clock = SystemClock()
    with keystone.configured(token_life_s=4):
        async with guarded(tmp_path, keystone.url) as daemon:
            assert (await ask(daemon, "GET", "/v3/backups", keystone.token(*user)))[0] == 200
            await clock.sleep(4)
            assert (await ask(daemon, "GET", "/v3/backups", keystone.token(*user)))[0] == 200


async def test_the_functional_backup_tests_of_openstacksdk_pass(
    tmp_path: Path, keystone: Keystone, clients: Path
) -> None:
    async with guarded(tmp_path, keystone.url) as daemon:
        keystone.add_service("block-storage", f"{daemon.url}/v3/$(project_id)s")
        keystone.add_service("object-store", f"{daemon.url}/nothing")
        environment = {"OS_CLIENT_CONFIG_FILE": str(clouds(tmp_path, keystone)), "OS_TEST_TIMEOUT": "120"}
        command = [str(clients / "python"), "-m", "unittest", "openstack.tests.functional.block_storage.v3.test_backup"]
        code, printed = await run(command, environment, timeout_s=160)
        assert code == 0, printed
        assert "Ran 3 tests" in printed
        assert "skipped" not in printed


def clouds(directory: Path, keystone: Keystone) -> Path:
    """Write where the clients find Keystone, and who they are."""
    user = keystone.add_user()

    def cloud(name: str, password: str, project: str) -> dict[str, Any]:
        auth = {
            "auth_url": keystone.url,
            "username": name,
            "password": password,
            "project_name": project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        return {"auth": auth, "region_name": REGION}

    found = {name: cloud(*user) for name in ("devstack", "devstack-alt")}
    found |= {name: cloud(*_ADMIN) for name in ("devstack-admin", "devstack-system-admin")}
    path = directory / "clouds.yaml"
    path.write_text(json.dumps({"clouds": found}))
    return path


async def test_the_functional_tests_of_cinderclient_pass(tmp_path: Path, keystone: Keystone, clients: Path) -> None:
    async with guarded(tmp_path, keystone.url) as daemon:
        keystone.add_service("volumev3", f"{daemon.url}/v3/$(project_id)s")
        user, password, project = _ADMIN
        environment = {
            "OS_AUTH_URL": keystone.url,
            "OS_USERNAME": user,
            "OS_PASSWORD": password,
            "OS_PROJECT_NAME": project,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_CINDERCLIENT_EXEC_DIR": str(clients),
        }
        tests = "cinderclient.tests.functional.test_cli"
        command = [str(clients / "python"), "-m", "unittest", f"{tests}.CinderBackupTests"]
        code, printed = await run(command, environment, timeout_s=100)
        assert code == 0, printed
        assert "skipped" not in printed
