"""The first page: what this is, and where to begin."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portal.public.releases import published, words
from portal.shared.pages import render

router = APIRouter()
NEWEST = 3  # extracts on the first page


@router.get("/")
def show_front(request: Request) -> Response:
    releases = published.every(request.app.state.home)
    return render(
        request, "front.html", newest=releases[:NEWEST], number=len(releases), words=words
    )
