"""The dashboard's addresses. Everybody may look: what is shown is published, and the whole view
stands in the address.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from pipeline.refusal import Refusal
from portal.public.explore import page, release, rows, state
from portal.public.explore.bands import Bands
from portal.public.explore.counts import Members
from portal.public.explore.evidence import Meter
from portal.public.explore.figures import Figures, figures
from portal.public.explore.release import Published
from portal.public.explore.state import View
from portal.public.explore.table import BeingMade, ExploreTable, Makers
from portal.shared.actions import record
from portal.shared.pages import render

router = APIRouter()
makers = Makers()

MOST_TEXT = 20_000  # characters of an address
REMEMBERED = 256  # answers: a release never changes
OPEN = 4  # releases kept in memory


class Explorer:
    """One release, ready to answer."""

    def __init__(self, published: Published, table: ExploreTable):
        self.published, self.table = published, table
        estimates = published.release.estimates
        self.meter = Meter(estimates.shares, published.card, table.dimensions)
        self.bands = Bands(estimates.survival, table.dimensions)
        self._answers: OrderedDict[str, Figures] = OrderedDict()
        self._lock = threading.Lock()

    def view(self, request: Request, beside: str | None = None) -> View:
        """What the address asks for; `beside`: a field that is no part of the view. Raises
        Refusal.
        """
        text = request.url.query
        if len(text) > MOST_TEXT:
            raise Refusal(f"this address is too long: at most {MOST_TEXT:,} characters are read")
        pairs = parse_qsl(text, keep_blank_values=True)
        ours = [(key, value) for key, value in pairs if key != beside]
        return state.read(ours, self.table.dimensions)

    def figures(self, view: View) -> Figures:
        """Computed once for each view that is asked for often."""
        key = state.query(view, self.table.dimensions)
        answer = self._answers.get(key)
        if answer is None:
            answer = figures(self.table, self.meter, self.bands, view) | {"query": key}
            with self._lock:
                self._answers[key] = answer
                while len(self._answers) > REMEMBERED:
                    self._answers.popitem(last=False)
        return answer


_explorers: OrderedDict[Path, Explorer] = OrderedDict()  # the last one asked for at the end
_lock, _opening = threading.Lock(), threading.Lock()


def explorer(request: Request, release_id: str) -> Explorer:
    """Raises HTTPException 404 where nothing is published under the id, BeingMade where its table
    is not ready.
    """
    published = release.find(request.app.state.home, release_id)
    answerer = _explorers.get(published.cache)
    if answerer is None:
        makers.wait(published)
        answerer = _open(published)
    _keep(answerer)
    return answerer


def _open(published: Published) -> Explorer:
    """The release in memory: one page reads it, for all that wait for it."""
    with _opening:
        answerer = _explorers.get(published.cache)
        if answerer is None:
            answerer = Explorer(published, ExploreTable(published.schema, published.cache))
            _keep(answerer)
        return answerer


def _keep(answerer: Explorer) -> None:
    with _lock:
        _explorers[answerer.published.cache] = answerer
        _explorers.move_to_end(answerer.published.cache)
        while len(_explorers) > OPEN:
            _explorers.popitem(last=False)


@router.get("/releases/{release_id}/explore")
def show(request: Request, release_id: str) -> Response:
    """The dashboard, whole: filters, counts, tables, and what the script draws."""
    try:
        one = explorer(request, release_id)
    except BeingMade:
        return render(request, "explore_wait.html", status=202, release_id=release_id)
    view = one.view(request)
    answer = one.figures(view)
    data = page.script_data(one.published, one.table, view, answer)
    return render(
        request,
        "explore.html",
        published=one.published,
        patients=one.table.patients,
        view=view,
        query=answer["query"],
        filters=page.filters(one.table, view, answer),
        plotted=[one.table.dimensions[name] for name in page.plotted(one.table, answer)],
        choices=page.choices(one.table, answer),
        awaited=one.table.awaited if one.table.has_survival else "",
        has_pathways=one.table.has_pathways,
        kind_word=one.table.kind_word,
        split=(answer.get("survival") or {}).get("by"),
        data=data,
        most=rows.MOST_PATIENTS,
        parts=page.parts(one.table, view, answer),
    )


@router.get("/releases/{release_id}/explore/figures")
def show_figures(request: Request, release_id: str) -> Response:
    """All figures of a view, and the parts of the page that change with it."""
    try:
        one = explorer(request, release_id)
    except BeingMade:
        return JSONResponse({"waiting": True}, status_code=202)
    view = one.view(request)
    answer = one.figures(view)
    text = render(
        request,
        "explore_parts.html",
        parts=page.parts(one.table, view, answer),
        published=one.published,
        query=answer["query"],
        patients=one.table.patients,
        most=rows.MOST_PATIENTS,
    )
    return JSONResponse({"figures": answer, "parts": bytes(text.body).decode()})


@router.get("/releases/{release_id}/explore/rows")
def show_rows(request: Request, release_id: str, cohort: str = "a") -> Response:
    """The rows of a cohort's patients as a file. `cohort`: a or b."""
    try:
        one = explorer(request, release_id)
    except BeingMade:
        return render(request, "explore_wait.html", status=202, release_id=release_id)
    view = one.view(request, beside="cohort")
    if cohort not in view.cohorts:
        raise Refusal("cohort is a, or b where two are compared")
    members = Members(one.table, view.cohorts[cohort])
    rows.check(members)
    record(request, None, "downloaded rows", subject=release_id)
    name = rows.file_name(one.published, cohort)
    address = state.query(view, one.table.dimensions)
    return StreamingResponse(
        rows.download(one.published, one.table, members, address),
        media_type="text/csv; charset=utf-8" if name.endswith("csv") else "application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
