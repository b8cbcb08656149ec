"""Figures for Prometheus; who reads them needs what a reader of ``/v1`` needs."""

from __future__ import annotations

from aiohttp import web

from backupd.api.context import METRICS

routes = web.RouteTableDef()


@routes.get("/metrics")
async def show(request: web.Request) -> web.Response:
    """Answer in Prometheus' text form."""
    content_type, text = await request.app[METRICS]()
    return web.Response(body=text, headers={"Content-Type": content_type})
