"""What every answer carries, and how much a request may bring."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_FORM = 1 << 20  # bytes of a request's body, but for pieces of an upload
PIECE_TYPE = "application/offset+octet-stream"  # of a body that holds a piece of an upload
# Our own scripts only; plotly sets styles of its own and makes pictures as blobs.
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Limits:
    """Middleware: the headers above on every answer; pages are not kept by caches; a body that is
    too large is refused with 413, whether or not it says its length.

    `uploads`: the beginning of the paths whose bodies their own route limits, where they are
    pieces of an upload: nobody reads such a body as a form.
    """

    def __init__(self, app: ASGIApp, uploads: str | None = None) -> None:
        self._app, self._uploads = app, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)  # a page may bind itself more tightly
                if scope["scheme"] == "https":  # from now on browsers come by https only
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
                if not scope["path"].startswith(("/static/", "/assets/")):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if self._uploads is not None and _is_piece(scope, self._uploads):
            await self._app(scope, receive, with_headers)
            return
        if _declared_length(scope) > LARGEST_FORM:
            await _too_large(scope, receive, with_headers)
            return
        await self._app(scope, _within_limit(receive), with_headers)


class HttpsOnly:
    """Middleware, where proxies end TLS: who comes past them by http gets 403, so that no password
    crosses the network as clear text. This machine itself may, and ask for /health everybody may.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["scheme"] != "https" and not _may_be_clear(scope):
            await PlainTextResponse("by https only", 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _may_be_clear(scope: Scope) -> bool:
    host = (scope.get("client") or ("",))[0]
    return scope["path"] == "/health" or host in ("127.0.0.1", "::1")


def _is_piece(scope: Scope, uploads: str) -> bool:
    kind = dict(scope["headers"]).get(b"content-type", b"")
    return (
        scope["path"].startswith(uploads)
        and scope["method"] == "PATCH"
        and kind == PIECE_TYPE.encode()
    )


def _declared_length(scope: Scope) -> int:
    text = dict(scope["headers"]).get(b"content-length", b"0")
    return int(text) if text.isdigit() else LARGEST_FORM + 1


def _within_limit(receive: Receive) -> Receive:
    size = 0

    async def within_limit() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > LARGEST_FORM:
            raise HTTPException(413)  # FastAPI hides any other exception of a body's reading
        return message

    return within_limit


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    text = f"the request is larger than {LARGEST_FORM >> 20} MB"
    await PlainTextResponse(text, 413)(scope, receive, send)
