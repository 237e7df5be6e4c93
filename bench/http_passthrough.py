"""The reference of the HTTP benchmark, the least a proxy on aiohttp does: `python http_passthrough.py UPSTREAM`."""

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web

session: aiohttp.ClientSession


async def relay(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    async with session.post(sys.argv[1] + request.path, data=body, headers={"Content-Type": "application/json"}) as got:
        if "event-stream" not in got.headers["Content-Type"]:
            return web.Response(body=await got.read(), status=got.status, content_type="application/json")
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        async for piece in got.content.iter_any():
            await reply.write(piece)
        return reply


async def main() -> None:
    global session
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        app = web.Application()
        app.router.add_post("/{path:.*}", relay)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


uvloop.run(main())
