"""The files that a node serves over HTTP: the page for people, and the SDK for phones."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from fogsdk.errors import FogError
from fogsdk.node import phone_bundle
from fogsdk.node.http_answers import respond
from fogsdk.node.http_requests import answer_type
from fogsdk.node.http_writing import Whole

PAGE = Path(__file__).parent / "page"
BUNDLE = "/fogsdk-phone.zip"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".ico": "image/vnd.microsoft.icon",
    ".woff2": "font/woff2",
    ".zip": "application/zip",
    ".txt": "text/plain; charset=utf-8",
    ".py": "text/x-python; charset=utf-8",
}

HEADERS = {
    # What the page may load and where it may send: this node, and pictures that it made itself.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(self)",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class File:
    """A file in memory, with its type and its entity tag."""

    content: bytes
    type: str
    tag: str


def _file(content: bytes, suffix: str) -> File:
    digest = hashlib.sha256(content).hexdigest()
    return File(content, _TYPES.get(suffix, "application/octet-stream"), digest)


def read_page(folder: Path = PAGE) -> dict[str, File]:
    """The page's files, by their path below it; ``index.html`` is at the top."""
    files = {
        path.relative_to(folder).as_posix(): _file(path.read_bytes(), path.suffix)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    if "index.html" in files:
        files[""] = files["index.html"]
    return files


class FileRoutes:
    """``GET /`` and below, and ``GET /fogsdk-phone.zip``."""

    def __init__(self) -> None:
        self._page = read_page()
        self._bundle: asyncio.Future[File] | None = None

    async def page(self, request: web.Request) -> web.StreamResponse:
        """A file of the page."""
        file = self._page.get(request.match_info["path"])
        if file is None:
            raise web.HTTPNotFound(text=f"there is nothing at {request.path[:200]}")
        return _serve(request, file, HEADERS)

    async def bundle(self, request: web.Request) -> web.StreamResponse:
        """The SDK for phones."""
        return _serve(request, await self._built(), {"Content-Disposition": "attachment"})

    async def phone(self, request: web.Request) -> web.Response:
        """Where the SDK for phones is, and its hash."""
        file = await self._built()
        said = {"url": BUNDLE, "sha256": file.tag, "size": len(file.content)}
        return respond(said, kind=answer_type(request))

    async def _built(self) -> File:
        if self._bundle is None:
            self._bundle = asyncio.ensure_future(asyncio.to_thread(_build))
        try:
            return await asyncio.shield(self._bundle)
        except (FogError, OSError) as error:
            self._bundle = None
            raise web.HTTPNotFound(text=f"this node cannot build the SDK for phones: {error}") from error


def _build() -> File:
    return _file(phone_bundle.build(), ".zip")


def _serve(request: web.Request, file: File, more: dict[str, str]) -> web.StreamResponse:
    headers = {**more, "ETag": f'"{file.tag}"', "Cache-Control": "no-cache"}
    if any(etag.value in (file.tag, "*") for etag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return Whole([file.content], {**headers, "Content-Type": file.type})
