"""A host of wheels on a real port that can resume, cut, stall, refuse and lie; also a simple package index for pip."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


def wheel(package: str, version: str, files: dict[str, bytes]) -> bytes:
    """Builds a wheel that pip accepts, with these data files."""
    name = package.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


class WheelHost:
    """Serves files, and misbehaves on demand.

    Attributes:
        files: What is served, by file name.
        asked: File name and Range header of every request, in order.
        cuts: For each of the next requests: after how many bytes the line is cut; None: not at all.
        statuses: For each of the next requests: a status instead of the file.
        resumes: Range headers are honoured.
        stall: Stop sending after this many bytes, until released.
        page: Sent instead of every file, as a login page would be.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.cuts: list[int | None] = []
        self.statuses: list[int] = []
        self.resumes = True
        self.wrong_range = False
        self.chunked = False
        self.stall: int | None = None
        self.stalled = asyncio.Event()
        self.page: bytes | None = None
        self.url = ""

    def add(self, package: str, version: str, data: bytes) -> str:
        """Serves a wheel; returns its URL."""
        name = f"{package.replace('-', '_')}-{version}-py3-none-any.whl"
        self.files[name] = data
        return f"{self.url}/files/{name}"

    async def index(self, request: web.Request) -> web.Response:
        """The page of one project, as the simple repository API has it."""
        project = request.match_info["project"].replace("-", "_")
        links = [
            f'<a href="/files/{name}#sha256={hashlib.sha256(data).hexdigest()}">{name}</a>'
            for name, data in self.files.items()
            if name.startswith(f"{project}-")
        ]
        if not links:
            raise web.HTTPNotFound
        return web.Response(text=f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>", content_type="text/html")

    async def file(self, request: web.Request) -> web.StreamResponse:
        """One file, or a part of it."""
        name, wanted = request.match_info["name"], request.headers.get("Range", "")
        self.asked.append((name, wanted))
        if self.statuses and (status := self.statuses.pop(0)) != 200:
            return web.Response(status=status)
        if self.page is not None:
            return web.Response(body=self.page, content_type="text/html")
        data = self.files[name]
        start = int(re.sub(r"\D", "", wanted)) if wanted and self.resumes else 0
        response = web.StreamResponse(status=206 if wanted and self.resumes else 200)
        if response.status == 206:
            shown = start + 1 if self.wrong_range else start
            response.headers["Content-Range"] = f"bytes {shown}-{len(data) - 1}/{len(data)}"
        if not self.chunked:
            response.content_length = len(data) - start
        await response.prepare(request)
        await self._send(request, response, data[start:])
        return response

    async def _send(self, request: web.Request, response: web.StreamResponse, data: bytes) -> None:
        cut = self.cuts.pop(0) if self.cuts else None
        stop = cut if cut is not None else self.stall
        await response.write(data if stop is None else data[:stop])
        if cut is not None:
            await asyncio.sleep(0.01)  # else the bytes go down with the line
            assert request.transport is not None
            request.transport.close()
        elif self.stall is not None:
            self.stalled.set()
            await asyncio.sleep(60)


@asynccontextmanager
async def wheel_host() -> AsyncIterator[WheelHost]:
    """Runs a host on a free port of this machine."""
    host = WheelHost()
    app = web.Application()
    app.router.add_get("/simple/{project}/", host.index)
    app.router.add_get("/files/{name}", host.file)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield host
    finally:
        await runner.cleanup()
