"""aiohttp: a server and a client, over the loopback interface."""

from __future__ import annotations

import asyncio
from typing import Any


def request() -> Any:
    """One request by its C parser, and a web socket with a masked message."""
    from aiohttp import ClientSession, web

    async def answer(request: Any) -> Any:
        return web.json_response({"path": request.path, "n": len(await request.read())})

    async def talk(request: Any) -> Any:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data[::-1])
        return socket

    async def main() -> Any:
        app = web.Application()
        app.router.add_post("/x", answer)
        app.router.add_get("/ws", talk)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with ClientSession() as session:
            async with session.post(f"http://127.0.0.1:{port}/x", data=b"y" * 5000) as response:
                found = await response.json()
            async with session.ws_connect(f"http://127.0.0.1:{port}/ws") as socket:
                await socket.send_bytes(bytes(range(250)))
                echoed = await socket.receive_bytes()
        await runner.cleanup()
        return [found, echoed]

    return asyncio.run(main())
