"""Nothing on the page comes from elsewhere: gradio's page names a font service and a script host, which are taken out."""

from __future__ import annotations

import re

import gradio
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOREIGN_TAG = re.compile(rb"<link[^>]*\brel=\"preconnect\"[^>]*>|<script[^>]*\bsrc=\"https?://[^>]*>\s*</script>")


def system_fonts_theme() -> gradio.themes.Base:
    """Gradio's default theme with the system's fonts instead of downloaded ones."""
    return gradio.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))


class StripForeignTags:
    """ASGI middleware: removes preconnect links and scripts of other hosts from the start page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold back the start page until it is complete; hand everything else through untouched."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] not in ("", "/"):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = bytearray()

        async def collect(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            body.extend(message.get("body", b""))
            if message.get("more_body") or start is None:
                return
            page = FOREIGN_TAG.sub(b"", bytes(body))
            MutableHeaders(scope=start)["content-length"] = str(len(page))
            await send(start)
            await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, collect)
