"""The first page: what this is, and where to begin."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portal.shared.pages import render

router = APIRouter()


@router.get("/")
def show_front(request: Request) -> Response:
    return render(request, "front.html")
