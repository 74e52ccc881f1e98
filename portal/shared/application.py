"""One process of the portal: its databases, its pages, what it answers to errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import plotly
from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy import Engine
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from pipeline import portal_params
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from portal.shared import pages, sign_in
from portal.shared.guard import Forbidden, SignInNeeded, refuse_foreign_forms
from portal.shared.health import Health
from portal.shared.limits import HEADERS, Limits
from portal.shared.organisations import routes as organisations
from portal.shared.organisations.settings import organisations_of

logger = logging.getLogger(__name__)
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
Navigation = Sequence[tuple[str, str, tuple[str, ...]]]  # address, words, roles; none: everybody
WORDS = {
    403: "This page is not for you",
    404: "There is no such page",
    405: "This page does not take that",
    413: "The request is too large",
}


def make_application(
    process: str,
    *,
    home: Home,
    engine: Engine,
    exchange: Engine,
    folder: Path,
    routers: Iterable[APIRouter],
    nav: Navigation,
    health: Health,
    uploads: str | None = None,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
) -> FastAPI:
    """The application of `process` ("public" or "custodian") with these routers' pages.

    `folder` holds its templates and static files. `engine`: its own database; `exchange`: the
    public one. `health`: what it answers whoever watches it.
    """
    app = FastAPI(
        title=f"Syndasera, {process} portal",
        dependencies=[Depends(refuse_foreign_forms)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.state.process, app.state.home = process, home
    app.state.engine, app.state.exchange = engine, exchange
    app.state.pages, app.state.nav = pages.environment([folder]), tuple(nav)
    app.state.organisations = organisations_of(portal_params.load_sign_in(home.params), process)
    app.state.pages.globals["organisations"] = app.state.organisations
    app.add_middleware(Limits, uploads=uploads)
    for router in (sign_in.router, organisations.router, *routers):
        app.include_router(router)
    app.add_api_route("/static/plotly.min.js", _plotly, include_in_schema=False)
    app.add_api_route("/health", health.answer, include_in_schema=False, response_model=None)
    app.mount("/static", StaticFiles(directory=pages.SHARED / "static"), name="static")
    app.mount("/assets", StaticFiles(directory=folder / "static", check_dir=False), name="assets")
    _answer_errors(app)
    return app


def _plotly() -> FileResponse:
    """The chart library, out of the installed package."""
    return FileResponse(PLOTLY, headers={"Cache-Control": "public, max-age=604800"})


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(SignInNeeded)
    def sign_in_needed(request: Request, _error: SignInNeeded) -> Response:
        if _wants_json(request):
            return JSONResponse({"error": "sign in first"}, 401)
        return RedirectResponse(sign_in.address(request), 303)

    @app.exception_handler(Forbidden)
    def forbidden(request: Request, error: Forbidden) -> Response:
        return _problem(request, 403, str(error))

    @app.exception_handler(Refusal)
    def refused(request: Request, error: Refusal) -> Response:
        return _problem(request, 400, str(error))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        # the names of the fields alone: what was typed is not repeated
        fields = sorted({str(item["loc"][-1]) for item in error.errors()})
        return _problem(request, 400, f"not as expected: {', '.join(fields)}")

    @app.exception_handler(HTTPException)
    def no_such(request: Request, error: HTTPException) -> Response:
        return _problem(request, error.status_code, "", error.headers)

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        # by type and place: a message may quote a value
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
        logger.error("%s at %s", type(error).__name__, where)
        text = "an unexpected error; it was noted, and nothing was lost"
        # this answer passes by the middleware
        return _problem(request, 500, text, {**HEADERS, "Cache-Control": "no-store"})


def _problem(request: Request, status: int, text: str, headers: object = None) -> Response:
    """What went wrong, as a page or, for a script, as JSON."""
    title = WORDS.get(status, "This did not work")
    response: Response
    if _wants_json(request):
        response = JSONResponse({"error": text or title}, status)
    else:
        response = pages.render(request, "problem.html", status, title=title, text=text)
    if isinstance(headers, dict):
        response.headers.update(headers)
    return response


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")
