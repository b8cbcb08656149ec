"""/v1/messages."""

from __future__ import annotations

from aiohttp import web

from backupd.api import views
from backupd.api.context import CALLER, services
from backupd.api.query import check_query
from backupd.api.v1.description import described
from backupd.block_storage import Listing

_MESSAGES_MAX = 1000

routes = web.RouteTableDef()


@routes.get("/v1/messages")
@described(is_list=True)
async def index(request: web.Request) -> web.Response:
    """List what went wrong after it had been asked for, of the last 30 days; the latest thousand of them."""
    check_query(request)
    found, _ = await services(request).block_storage.messages.all(request[CALLER], Listing(limit=_MESSAGES_MAX))
    return web.json_response([views.message(one) for one in found])
