from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.served import Served, serve


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as served:
        yield served


async def test_every_route_of_v1_is_in_the_document_and_no_other(served: Served) -> None:
    document = await served.get("/v1/openapi.json")
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    app = served.client.server.app  # type: ignore[attr-defined]  # That of a test.
    routes = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    assert described == {(method, path) for method, path in routes if path.startswith("/v1/") and method != "HEAD"}
    assert document["openapi"] == "3.1.0"


async def test_a_body_is_described_by_its_dataclass(served: Served) -> None:
    document = await served.get("/v1/openapi.json")
    schema = document["components"]["schemas"]["NewBackupType"]
    assert schema["required"] == ["name", "target"]
    assert schema["properties"]["chunk_size_bytes"] == {"type": "integer", "default": 262144}
    assert schema["properties"]["retention"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert document["paths"]["/v1/backup-types"]["post"]["requestBody"]["content"]["application/json"] == {
        "schema": {"$ref": "#/components/schemas/NewBackupType"}
    }


async def test_the_capabilities_are_those_of_server_sources_and_targets(served: Served) -> None:
    found = await served.get("/v1/capabilities")
    assert found["server"]["apis"] == ["/v1", "/v3"]
    assert found["sources"]["file"]["can_be_restored_to"] is True
    assert found["targets"]["local"]["conditional_put"] is True


@pytest.mark.parametrize(("asked", "status"), [("1.0", 200), ("latest", 200), ("1.1", 406), ("2.0", 406), ("x", 400)])
async def test_a_microversion_is_taken_or_refused(served: Served, asked: str, status: int) -> None:
    async with served.client.get("/v1/volumes", headers={"Backupd-API-Version": asked}) as response:
        assert response.status == status
        assert response.headers.get("Backupd-API-Version") == ("1.0" if status == 200 else None)
