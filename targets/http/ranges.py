"""Exact ranges over HTTP (RFC 9110, section 14), whatever a server makes of a range at or past the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager

import aiohttp

from targets.base import check_range, range_end
from targets.errors import ShortRead, Unavailable
from targets.http.client import read_into

# Sends a GET with these headers more and yields an answer of status 200, 206 or 416; raises for every other.
Get = Callable[[Mapping[str, str]], AbstractAsyncContextManager[aiohttp.ClientResponse]]
Size = Callable[[], Awaitable[int]]

_DISCARD_BYTES = 1024 * 1024


async def get_range(key: str, get: Get, size: Size, *, offset: int, length: int | None) -> bytes:
    """Return exactly that range, to the end if ``length`` is None. ShortRead; Unavailable if it breaks off."""
    check_range(key, offset=offset, length=length)
    if length == 0:
        return await _empty(key, size, offset)
    async with get(_range(offset, length)) as response:
        if response.status != 416:
            await _skip(key, response, offset)
            return await _read(key, response, offset, length)
    # To the end: it may begin exactly there, and HTTP has no empty range.
    return await _empty(key, size, offset if length is None else offset + length)


async def get_range_into(key: str, get: Get, size: Size, buffer: memoryview, *, offset: int) -> None:
    """Fill ``buffer`` from ``offset`` on. ShortRead; Unavailable if it breaks off."""
    check_range(key, offset=offset, length=None)
    if not buffer.nbytes:
        await _empty(key, size, offset)
        return
    async with get(_range(offset, buffer.nbytes)) as response:
        filled = 0
        if response.status != 416:
            await _skip(key, response, offset)
            filled = await read_into(response, buffer)
    if filled < buffer.nbytes:
        raise _short(key, offset + buffer.nbytes, offset + filled)


def _range(offset: int, length: int | None) -> dict[str, str]:
    if length is None:
        return {"Range": f"bytes={offset}-"} if offset else {}
    return {"Range": f"bytes={offset}-{offset + length - 1}"}


async def _empty(key: str, size: Size, offset: int) -> bytes:
    range_end(key, await size(), offset=offset, length=0)
    return b""


async def _read(key: str, response: aiohttp.ClientResponse, offset: int, length: int | None) -> bytes:
    if length is None:
        return await response.read()
    try:
        return await response.content.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise _short(key, offset + length, offset + len(error.partial)) from error


def _short(key: str, end: int, found: int) -> ShortRead:
    return ShortRead(f"{key}: expected bytes up to {end}, got them up to {found}, where the object ends")


async def _skip(key: str, response: aiohttp.ClientResponse, offset: int) -> None:
    """Read up to ``offset`` when a server sends the whole object instead of the range that was asked for."""
    if response.status == 206:
        return
    while offset > 0:
        skipped = await response.content.read(min(offset, _DISCARD_BYTES))
        if not skipped:
            raise ShortRead(f"{key}: the object ends {offset} bytes before the range")
        offset -= len(skipped)


async def content_length(key: str, response: aiohttp.ClientResponse) -> int:
    """Return the size that the answer to a HEAD tells. Unavailable when it tells none."""
    size = response.headers.get("Content-Length", "")
    if not size.isdecimal():
        raise Unavailable(f"head {key}: the answer has no Content-Length")
    return int(size)
