"""/v3/messages, from 3.3 on."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from backupd.api.v3 import lists
from backupd.api.v3.context import caller, links, since, storage
from backupd.api.v3.routes import Routes
from backupd.api.v3.views import moment
from backupd.block_storage import Listing, Message

routes = Routes()

FILTERS = ("event_id", "resource_type", "resource_uuid")


@routes.get("/messages", since=3)
async def index(request: web.Request) -> web.Response:
    """List what went wrong."""
    is_paged = since(request, 5)
    wanted = lists.asked(request, FILTERS) if is_paged else lists.Asked(Listing(limit=lists.LIMIT_MAX), False)
    found, count = await storage(request).messages.all(caller(request), wanted.listing)
    return lists.answer(request, wanted, "messages", [_document(request, one) for one in found], count)


@routes.get("/messages/{id}", since=3)
async def show(request: web.Request) -> web.Response:
    """Show one message."""
    found = await storage(request).messages.one(caller(request), request.match_info["id"])
    return web.json_response({"message": _document(request, found)})


@routes.delete("/messages/{id}", since=3)
async def delete(request: web.Request) -> web.Response:
    """Remove one message."""
    await storage(request).messages.delete(caller(request), request.match_info["id"])
    return web.Response(status=204)


def _document(request: web.Request, value: Message) -> dict[str, Any]:
    return {
        "id": value.id,
        "event_id": value.event_id,
        "user_message": value.text,
        "message_level": "ERROR",
        "resource_type": value.resource_type,
        "resource_uuid": value.resource_id,
        "request_id": None,
        "created_at": moment(value.created_at),
        "guaranteed_until": moment(value.expires_at),
        "links": links(request, f"/messages/{value.id}"),
    }
