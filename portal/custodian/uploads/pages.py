"""The pages of uploads: all of them, a new one, and one with its progress, findings and forms."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from pipeline.refusal import Refusal
from pipeline.restricted.ingest.source_files import DATABASE, SUFFIXES
from pipeline.restricted.uploads import custody, findings
from pipeline.restricted.uploads.problems import MOST_SHOWN
from pipeline.runs.declarations import dataset_names, declaration_path
from pipeline.runs.uploads import deletion, reception, records
from pipeline.runs.uploads.pieces import PIECE_BYTES
from pipeline.runs.uploads.records import Upload
from pipeline.schema.reader import read_schema
from portal.custodian.uploads import checks
from portal.custodian.uploads.transfer import PREFIX, Custodian
from portal.shared.actions import record
from portal.shared.pages import render

router = APIRouter()
SEND_BYTES = 2 * PIECE_BYTES  # that the page's script sends in one request
USUAL_DAYS = 90  # from today to the day of deletion, where nobody sets another
WORDS = {  # of a state: what it is called, and its colour
    "receiving": ("arriving", "warn"),
    "received": ("in quarantine", "warn"),
    "checked": ("quarantine lifted", "good"),
    "declared": ("declared as source", "good"),
    "refused": ("refused", "bad"),
    "deleting": ("being deleted", "bad"),
    "deleted": ("deleted", ""),
}


@router.get("/uploads")
def show_all(request: Request, account: Custodian) -> Response:
    uploads = records.every(request.app.state.home)
    return render(request, "uploads.html", uploads=uploads, words=WORDS)


@router.get("/uploads/new")
def show_new(request: Request, account: Custodian) -> Response:
    schemas = [read_schema(declaration_path(name)) for name in dataset_names()]
    today = datetime.now(UTC).date()
    return render(
        request,
        "uploads_new.html",
        schemas=[one for one in schemas if one.population.kind != "simulated"],
        endings=(*SUFFIXES, DATABASE),
        day=today + timedelta(days=USUAL_DAYS),
        first_day=today + timedelta(days=1),
        last_day=today + custody.LONGEST_KEPT,
        largest=reception.LARGEST_UPLOAD,
    )


@router.get("/uploads/{upload_id}")
def show_one(request: Request, account: Custodian, upload_id: str) -> Response:
    return _page(request, records.load(request.app.state.home, upload_id))


@router.get("/uploads/{upload_id}/state")
def show_state(request: Request, account: Custodian, upload_id: str) -> Response:
    """For the page's script: whether something changed that it shows."""
    home = request.app.state.home
    upload = records.load(home, upload_id)
    return JSONResponse(
        {
            "state": upload.state,
            "is_structure_known": upload.is_structure_known,
            "arrived": [reception.offset(home, upload, one.number) for one in upload.files],
        }
    )


@router.post("/uploads/{upload_id}/check")
def check(request: Request, account: Custodian, upload_id: str) -> Response:
    """Starts the check again, after a restart cut it short."""
    upload = findings.settle(request.app.state.home, upload_id)
    if upload.state == "received" and not upload.is_structure_known:
        checks.start(request.app.state.home, upload_id)
        record(request, account, "had an upload checked", upload_id)
    return _to(upload_id)


@router.post("/uploads/{upload_id}/lift")
def lift(
    request: Request,
    account: Custodian,
    upload_id: str,
    label: Annotated[str, Form(max_length=200)],
    extract_date: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Lifts the quarantine, under a public label."""
    home = request.app.state.home
    try:
        day = _day(extract_date) if extract_date else None
        custody.lift(home, upload_id, label=label, extract_date=day, by=account.email)
    except Refusal as refusal:
        return _page(request, records.load(home, upload_id), 400, str(refusal))
    record(request, account, "lifted the quarantine of an upload", upload_id)
    return _to(upload_id)


@router.post("/uploads/{upload_id}/declare")
def declare(request: Request, account: Custodian, upload_id: str) -> Response:
    """Makes the upload the source of its dataset."""
    home = request.app.state.home
    try:
        custody.declare(home, upload_id)
    except Refusal as refusal:
        return _page(request, records.load(home, upload_id), 400, str(refusal))
    record(request, account, "declared an upload as source", upload_id)
    return _to(upload_id)


@router.post("/uploads/{upload_id}/day")
def set_day(
    request: Request,
    account: Custodian,
    upload_id: str,
    delete_on: Annotated[str, Form(max_length=10)],
) -> Response:
    """Sets the day of deletion."""
    home = request.app.state.home
    try:
        custody.set_delete_on(home, upload_id, _day(delete_on))
    except Refusal as refusal:
        return _page(request, records.load(home, upload_id), 400, str(refusal))
    record(request, account, "set the day of deletion of an upload", upload_id)
    return _to(upload_id)


@router.post("/uploads/{upload_id}/delete")
def delete(
    request: Request,
    account: Custodian,
    upload_id: str,
    sure: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Deletes the upload now, with all rows that came from it."""
    home = request.app.state.home
    upload = records.load(home, upload_id)
    if sure != "yes":
        return _page(request, upload, 400, "say that you are sure: tick the box")
    record(request, account, "deleted an upload", upload_id)
    try:
        deletion.delete(home, upload_id)
    except Refusal as refusal:
        return _page(request, records.load(home, upload_id), 400, str(refusal))
    return _to(upload_id)


def _page(request: Request, upload: Upload, status: int = 200, problem: str = "") -> Response:
    home = request.app.state.home
    arrived = {one.number: reception.offset(home, upload, one.number) for one in upload.files}
    log = read_schema(declaration_path(upload.dataset)).events
    return render(
        request,
        "uploads_one.html",
        status,
        upload=upload,
        words=WORDS,
        arrived=arrived,
        findings=findings.of_upload(home, upload.id),
        problem=problem,
        needs_day=log is not None and bool(log.observation_end),
        prefix=PREFIX,
        send_bytes=SEND_BYTES,
        most_shown=MOST_SHOWN,
        first_day=datetime.now(UTC).date() + timedelta(days=1),
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refusal("a day is written YYYY-MM-DD") from None


def _to(upload_id: str) -> Response:
    return RedirectResponse(f"/uploads/{upload_id}", 303)
