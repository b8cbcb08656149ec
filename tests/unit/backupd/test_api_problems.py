from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from backupd.api import Tokens
from backupd.api.identity import OPERATOR
from backupd.api.problems import answer_problems
from backupd.errors import CatalogError, KeyMissing
from backupd.model import JobKind
from targets.errors import Throttled
from tests.support.served import HEALTH, Served, serve

TOKEN = "a-token-for-the-tests"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as served:
        yield served


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path, Tokens({TOKEN: OPERATOR})) as served:
        yield served


async def problem(served: Served, method: str, path: str, **options: Any) -> dict[str, Any]:
    async with served.client.request(method, path, **options) as response:
        assert response.content_type == "application/problem+json"
        document: dict[str, Any] = await response.json(content_type=None)
        assert document["status"] == response.status
        assert document["type"] == "about:blank"
        return document


def large(body: Any) -> dict[str, Any]:
    """Return what sends a body piece by piece."""
    return {"data": io.BytesIO(json.dumps(body).encode()), "headers": {"Content-Type": "application/json"}}


async def test_an_unknown_path_is_a_problem(served: Served) -> None:
    found = await problem(served, "GET", "/v1/nothing%0Ahere")
    assert (found["status"], found["code"], found["title"]) == (404, "not_found", "Not Found")
    assert found["detail"] == "there is nothing at /v1/nothing%0Ahere"


async def test_a_method_that_is_not_possible_is_a_problem(served: Served) -> None:
    found = await problem(served, "PATCH", "/v1/volumes")
    assert (found["status"], found["code"]) == (405, "request.method_not_allowed")
    assert found["detail"] == "PATCH is not possible here; expected GET,HEAD,POST"


async def test_a_thing_that_is_not_there_is_a_problem(served: Served) -> None:
    found = await problem(served, "GET", "/v1/backups/none")
    assert (found["status"], found["code"]) == (404, "not_found")
    assert "none" in found["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
async def test_a_body_must_say_that_it_is_json(served: Served, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    found = await problem(served, "POST", "/v1/volumes", data=b"{}", headers=headers)
    assert (found["status"], found["code"]) == (415, "request.media_type")
    assert found["detail"] == f"Content-Type is {content_type}; expected application/json"


async def test_a_bad_body_is_named_with_its_place(served: Served) -> None:
    headers = {"Content-Type": "application/json"}
    found = await problem(served, "POST", "/v1/volumes", data=b'{"name": }', headers=headers)
    assert (found["status"], found["code"]) == (400, "request.invalid")
    assert found["detail"] == "the body is not JSON: expecting value at line 1, column 10"


async def test_a_body_that_is_too_large_is_refused(served: Served) -> None:
    found = await problem(served, "POST", "/v1/volumes", **large({"name": "a" * 1024**2}))
    assert (found["status"], found["code"]) == (413, "request.too_large")
    assert found["detail"] == "the body is larger than 1048576 bytes"


async def test_a_body_of_unknown_length_is_refused_once_it_is_too_large(served: Served) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * 65536

    headers = {"Content-Type": "application/json"}
    found = await problem(served, "POST", "/v1/volumes", data=blocks(), headers=headers)
    assert found["status"] == 413


async def test_a_large_list_of_extents_is_read(served: Served) -> None:
    extents = [{"offset_bytes": 8192 * index, "length_bytes": 4096} for index in range(30_000)]
    body = {"volume": "none", "changed_extents": extents}
    found = await problem(served, "POST", "/v1/backups", **large(body))
    assert (found["status"], found["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/volumes?name=a", "name: unknown query parameter; expected none"),
        ("/v1/jobs?states=a", "states: unknown query parameter; expected state, kind, limit"),
        ("/v1/jobs?kind=backup&kind=verify", "kind: the query parameter is there twice"),
        ("/v1/jobs?kind=x", f'kind = "x": expected one of {", ".join(JobKind)}'),
        ("/v1/jobs?limit=x", 'limit = "x": expected an integer'),
        ("/v1/jobs?limit=0", "limit = 0: expected an integer from 1 to 1000"),
    ],
)
async def test_a_bad_query_is_named(served: Served, path: str, detail: str) -> None:
    found = await problem(served, "GET", path)
    assert (found["status"], found["detail"]) == (400, detail)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer another-token-for-it"}, {"Authorization": f"Basic {TOKEN}"}],
)
async def test_a_request_without_a_valid_token_is_refused(guarded: Served, headers: dict[str, str]) -> None:
    for path in ("/v1/volumes", "/v1/nothing", "/other"):
        async with guarded.client.get(path, headers=headers) as response:
            assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert (await response.json(content_type=None))["code"] == "request.unauthorized"


async def test_a_request_with_a_token_is_answered(guarded: Served) -> None:
    async with guarded.client.get("/v1/volumes", headers={"Authorization": f"bearer {TOKEN}"}) as response:
        assert (response.status, await response.json()) == (200, [])


async def test_health_needs_no_token(guarded: Served) -> None:
    assert await guarded.get("/healthz") == HEALTH


@pytest.mark.parametrize("host", ["backup.example.org", "192.0.2.1:8776", ""])
async def test_without_tokens_a_name_that_is_not_local_is_refused(served: Served, host: str) -> None:
    found = await problem(served, "GET", "/v1/volumes", headers={"Host": host})
    assert (found["status"], found["code"]) == (403, "request.forbidden")


@pytest.mark.parametrize("host", ["localhost:8776", "[::1]:8776", "127.0.0.1"])
async def test_without_tokens_a_local_name_is_answered(served: Served, host: str) -> None:
    async with served.client.get("/v1/volumes", headers={"Host": host}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("error", "status", "code", "detail"),
    [
        (Throttled("put packs/a: slow down"), 502, "target.throttled", "put packs/a: slow down"),
        (CatalogError("database is locked"), 500, "catalog.unavailable", "database is locked"),
        (KeyMissing("key 12 is not here"), 500, "key.missing", "key 12 is not here"),
        (RuntimeError("hunter2"), 500, "internal", "the daemon failed; its log says why"),
    ],
)
async def test_each_error_has_its_status(
    error: Exception, status: int, code: str, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: web.Request) -> web.Response:
        raise error

    app = web.Application(middlewares=[answer_problems])
    app.router.add_get("/", fail)
    async with TestClient(TestServer(app)) as client, client.get("/") as response:
        found = json.loads(await response.text())
    assert (response.status, found["code"], found["detail"]) == (status, code, detail)
    (record,) = caplog.records
    assert (record.exc_info is not None) == (code == "internal")


async def test_the_request_log_has_a_line_per_request_and_no_secret(
    guarded: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "backupd.api")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with guarded.client.get("/v1/volumes/a%0Ab?token=hunter2", headers=headers):
        pass
    assert [record.getMessage() for record in caplog.records] == ["GET /v1/volumes/a%0Ab 404 0.0 ms"]


async def test_what_is_not_there_is_repeated_cut_short(served: Served) -> None:
    long = "a" * 900_000
    for path, body in (
        ("/v1/backups", {"volume": long}),
        ("/v1/restores", {"backup": long, "path": "/srv/a"}),
        ("/v1/backup-types", {"name": "gold", "target": long}),
        ("/v1/volumes", {"name": "disk", "path": "/srv/a", "backup_type": long}),
    ):
        found = await problem(served, "POST", path, **large(body))
        assert len(found["detail"]) < 1000, path
    found = await problem(served, "GET", f"/v1/targets/{'a' * 4000}")
    assert len(found["detail"]) < 1000


@pytest.mark.parametrize("path", ["/v1/volumes/%ED%A0%80", "/v1/jobs/%FF", "/v1/backups?volume=%ED%A0%80"])
async def test_bytes_in_a_path_that_are_no_text_name_nothing(served: Served, path: str) -> None:
    assert (await problem(served, "GET", path))["status"] == 404


async def test_a_field_that_is_no_text_is_a_bad_request(served: Served) -> None:
    found = await problem(served, "POST", "/v1/backups", json={"volume": "\ud800"})
    assert (found["status"], found["code"]) == (400, "request.invalid")
