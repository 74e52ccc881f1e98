"""The pages of what is published."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from pipeline.catalog import Home
from portal.public.releases import citation, downloads, published, words
from portal.public.uses.register import uses_of
from portal.shared.database import connection
from portal.shared.pages import render

router = APIRouter()
router.include_router(downloads.router)


@router.get("/releases")
def list_releases(request: Request) -> Response:
    releases = published.every(request.app.state.home)
    return render(
        request,
        "releases.html",
        releases=releases,
        balances=published.balances(releases),
        words=words,
    )


@router.get("/releases/{release_id}")
def show_release(request: Request, release_id: str) -> Response:
    home: Home = request.app.state.home
    one = published.find(home, release_id)
    today = datetime.now(UTC).date()
    population = one.card["privacy"]["population"]
    with connection(request) as c:
        uses = uses_of(c, release_id)
    return render(
        request,
        "release.html",
        one=one,
        card=one.card,
        words=words,
        tallies=words.tallies(one.card),
        spans=words.spans(one.card),
        balance=published.balances(published.every(home))[population],
        parcels=downloads.parcels(one),
        papers=downloads.papers(one),
        fetch=downloads.fetch_line(home, one),
        cite=citation.sentence(one, today),
        bibtex=citation.bibtex(one, today),
        uses=uses,
    )
