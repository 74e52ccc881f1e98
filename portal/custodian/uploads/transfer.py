"""The transfer of files, resumable as in tus 1.0: create, ask for the offset, send from there.

A body is encrypted piece by piece as it arrives. It is never kept in clear, neither in a file nor
whole in memory.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from pipeline.refusal import Refusal
from pipeline.restricted.uploads import custody, findings
from pipeline.restricted.uploads.intake import Intake, Taker
from pipeline.runs.uploads import reception, records
from pipeline.runs.uploads.pieces import PIECE_BYTES
from portal.custodian.uploads import checks
from portal.shared.accounts import Account
from portal.shared.actions import record
from portal.shared.guard import require
from portal.shared.limits import PIECE_TYPE

router = APIRouter()
Custodian = Annotated[Account, Depends(require("custodian"))]
PREFIX = "/uploads/files/"
TUS = {"Tus-Resumable": "1.0.0"}
SILENCE_SECONDS = 30  # without a byte: the connection counts as cut
_STATUS: tuple[tuple[type[Refusal], int], ...] = (
    (reception.WrongOffset, 409),
    (reception.Busy, 423),
    (reception.TooLarge, 413),
    (reception.DiskFull, 507),
    (Refusal, 400),
)


class FileToCome(BaseModel):
    name: str = Field(max_length=400)
    size: int = Field(ge=0, le=reception.LARGEST_UPLOAD)


class UploadToCome(BaseModel):
    dataset: str = Field(max_length=100)
    delete_on: date
    files: list[FileToCome] = Field(min_length=1, max_length=reception.MOST_FILES)


@router.post("/uploads")
def create(request: Request, account: Custodian, to_come: UploadToCome) -> Response:
    """Begins an upload; says where its files are sent."""
    announced = [(one.name, one.size) for one in to_come.files]
    try:
        upload = custody.begin(
            request.app.state.home,
            to_come.dataset,
            announced,
            by=account.email,
            delete_on=to_come.delete_on,
        )
    except Refusal as refusal:
        return _refusal(refusal)
    record(request, account, "began an upload", upload.id)
    places = [
        {"name": one.name, "size": one.size, "address": f"{PREFIX}{upload.id}/{one.number}"}
        for one in upload.files
    ]
    page = f"/uploads/{upload.id}"
    return JSONResponse(
        {"id": upload.id, "page": page, "files": places}, 201, {**TUS, "Location": page}
    )


@router.head(PREFIX + "{upload_id}/{number}")
def show_offset(request: Request, account: Custodian, upload_id: str, number: int) -> Response:
    """How many bytes of a file have arrived."""
    home = request.app.state.home
    try:
        upload = records.load(home, upload_id)
        length = upload.file(number).size
    except Refusal:
        return Response(status_code=404, headers=TUS)
    offset = reception.offset(home, upload, number)
    return Response(headers={**TUS, "Upload-Offset": str(offset), "Upload-Length": str(length)})


@router.patch(PREFIX + "{upload_id}/{number}")
async def take(request: Request, account: Custodian, upload_id: str, number: int) -> Response:
    """Takes bytes of a file from `Upload-Offset` on."""
    if request.headers.get("content-type") != PIECE_TYPE:
        return JSONResponse({"error": f"the body is sent as {PIECE_TYPE}"}, 415, TUS)
    start = request.headers.get("upload-offset", "")
    if not start.isascii() or not start.isdigit() or len(start) > 15:
        return JSONResponse({"error": "Upload-Offset is a number of bytes"}, 400, TUS)
    home = request.app.state.home
    try:
        offset = await _take(request, upload_id, number, int(start))
    except Refusal as refusal:
        return _refusal(refusal)
    upload = await run_in_threadpool(findings.settle, home, upload_id)
    if upload.state == "received":
        await run_in_threadpool(record, request, account, "handed all of it over", upload_id)
        if not upload.is_structure_known:
            checks.start(home, upload_id)
    return Response(status_code=204, headers={**TUS, "Upload-Offset": str(offset)})


async def _take(request: Request, upload_id: str, number: int, start: int) -> int:
    """The offset after it. Of a connection that is cut, whole pieces and a long rest are kept."""
    with ExitStack() as stack:
        taker = await run_in_threadpool(
            stack.enter_context, intake_of(request).receiving(upload_id, number, start)
        )
        _refuse_longer(taker, int(request.headers.get("content-length") or 0))
        buffer = bytearray()
        try:
            async for chunk in _chunks(request):
                buffer += chunk
                _refuse_longer(taker, len(buffer))
                while len(buffer) >= PIECE_BYTES:
                    await run_in_threadpool(taker.store, bytes(buffer[:PIECE_BYTES]))
                    del buffer[:PIECE_BYTES]
            if buffer:
                await run_in_threadpool(taker.store, bytes(buffer))
        except (ClientDisconnect, TimeoutError):
            if len(buffer) >= reception.SMALLEST_CUT:
                await run_in_threadpool(taker.store, bytes(buffer))
        return taker.offset


async def _chunks(request: Request):  # type: ignore[no-untyped-def]
    """The body as it arrives. TimeoutError where nothing comes any more."""
    stream = aiter(request.stream())
    while True:
        with suppress(StopAsyncIteration):
            yield await asyncio.wait_for(anext(stream), SILENCE_SECONDS)
            continue
        return


def _refuse_longer(taker: Taker, n_bytes: int) -> None:
    if n_bytes > taker.n_missing:
        raise reception.TooLarge(f"only {taker.n_missing:,} bytes of this file are to come")


def intake_of(request: Request) -> Intake:
    """The one of this process."""
    state = request.app.state
    if not hasattr(state, "intake"):
        state.intake = Intake(state.home)
    intake: Intake = state.intake
    return intake


def _refusal(refusal: Refusal) -> Response:
    status = next(number for kind, number in _STATUS if isinstance(refusal, kind))
    return JSONResponse({"error": str(refusal)}, status, TUS)
